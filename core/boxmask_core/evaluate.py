"""The command ``boxmask evaluate``: label maps against the truth, per class and mean."""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from boxmask_core.atomic import write_bytes_atomically
from boxmask_core.errors import DatasetError
from boxmask_core.evaluation import ConfusionMatrix
from boxmask_core.formats.keys import checked_key
from boxmask_core.formats.voc import VOC_CLASSES
from boxmask_core.palette import decode_indexed_png

if TYPE_CHECKING:
    from collections.abc import Sequence

VOC_NAMES = ("background", *VOC_CLASSES)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a comparison found.

    Attributes:
        images: Number of images.
        class_names: Names in the order of class indices, the background first.
        iou: Intersection over union per class, None for a class that the truth does not have.
        mean_iou: Mean over the classes that the truth has, None where it has none.
        chosen: The classes that were asked for; empty where none were.
        chosen_mean_iou: Mean over those of them that the truth has, None where it has none.
    """

    images: int
    class_names: tuple[str, ...]
    iou: tuple[float | None, ...]
    mean_iou: float | None
    chosen: tuple[str, ...]
    chosen_mean_iou: float | None

    def to_json(self) -> bytes:
        """Returns the result as JSON."""
        fields: dict[str, Any] = {
            "images": self.images,
            "iou": dict(zip(self.class_names, self.iou, strict=True)),
            "mean_iou": self.mean_iou,
        }
        if self.chosen:
            fields |= {"classes": self.chosen, "classes_mean_iou": self.chosen_mean_iou}
        return json.dumps(fields, indent=2).encode() + b"\n"

    def to_text(self) -> str:
        """Returns the result as a table, in percent."""
        found = [(name, iou) for name, iou in zip(self.class_names, self.iou, strict=True) if iou is not None]
        rows = [*found, (f"mIoU-{len(found)}, all classes of the truth", self.mean_iou)]
        if self.chosen:
            rows.append((f"mIoU-{len(self.chosen)}, {', '.join(self.chosen)}", self.chosen_mean_iou))
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:<{width}}  {_percent(value):>6}" for name, value in rows]
        return "\n".join([f"{self.images} images, IoU in percent", *lines, ""])


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: Arguments after ``boxmask evaluate``.

    Returns:
        The exit status, 0.

    Raises:
        InvalidInputError: A file is missing, broken, or does not fit its counterpart.
    """
    options = _parser().parse_args(argv)
    names = VOC_NAMES if options.names is None else _lines(options.names)
    chosen = tuple(name.strip() for name in options.classes.split(",")) if options.classes else ()
    keys = _keys(options.truth) if options.ids is None else _listed_keys(options.ids)
    evaluation = evaluate(options.prediction, options.truth, keys, names, chosen)
    if options.json is not None:
        write_bytes_atomically(options.json, evaluation.to_json())
    sys.stdout.write(evaluation.to_text())
    return 0


def evaluate(
    prediction: Path, truth: Path, keys: Sequence[str], names: Sequence[str], chosen: Sequence[str] = ()
) -> Evaluation:
    """Compares two folders of indexed PNG.

    Args:
        prediction: Folder of ``KEY.png``.
        truth: Folder of ``KEY.png``, 255 void.
        keys: The images to compare.
        names: Class names in the order of class indices, the background first.
        chosen: Classes to give a mean of their own.

    Raises:
        DatasetError: A label map is missing, or a chosen class is unknown.
        InvalidImageError: A file is no PNG.
        InvalidMaskError: A label map has a size or a class index that does not fit.
    """
    unknown = set(chosen) - set(names)
    if unknown:
        raise DatasetError("--classes", f"{sorted(unknown)} are not among the classes {list(names)}")
    matrix = ConfusionMatrix(len(names))
    for key in tqdm(keys, unit="img", disable=None, leave=False):
        predicted, true = (_read(folder / f"{key}.png") for folder in (prediction, truth))
        matrix.update(predicted, true, what=key)
    present, iou = matrix.present(), matrix.iou()
    return Evaluation(
        images=len(keys),
        class_names=tuple(names),
        iou=tuple(float(value) if there else None for value, there in zip(iou, present, strict=True)),
        mean_iou=_known(matrix.mean_iou()),
        chosen=tuple(chosen),
        chosen_mean_iou=_known(matrix.mean_iou([names.index(name) for name in chosen])),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="boxmask evaluate", description=__doc__)
    parser.add_argument(
        "prediction", type=Path, metavar="PRED", help="folder of predicted KEY.png, indexed PNG"
    )
    parser.add_argument("truth", type=Path, metavar="GT", help="folder of true KEY.png, 255 is left out")
    parser.add_argument(
        "--ids", type=Path, metavar="FILE", help="keys to compare, one a line (default: all of GT)"
    )
    parser.add_argument("--classes", metavar="NAME,...", help="classes to give a mean of their own")
    parser.add_argument(
        "--names", type=Path, metavar="FILE", help="class names by index, one a line (default: VOC's 21)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes the result here, as JSON")
    return parser


def _keys(truth: Path) -> tuple[str, ...]:
    found = sorted(path.relative_to(truth).with_suffix("").as_posix() for path in truth.rglob("*.png"))
    if not found:
        raise DatasetError(
            truth, "holds no PNG file; name the folder of the label maps, such as SegmentationClass"
        )
    return tuple(found)


def _listed_keys(file: Path) -> tuple[str, ...]:
    found = tuple(checked_key(line, file) for line in dict.fromkeys(_lines(file)))
    if not found:
        raise DatasetError(file, "lists no key; expected one a line")
    return found


def _lines(file: Path) -> tuple[str, ...]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(file, f"cannot be read: {error}") from error
    return tuple(line.strip() for line in lines if line.strip())


def _read(path: Path) -> Any:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(path, f"the label map cannot be read: {error.strerror}") from error
    return decode_indexed_png(data, what=str(path))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
