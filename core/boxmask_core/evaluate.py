"""The command ``boxmask evaluate``: label maps against the truth, everywhere and near outlines."""

from __future__ import annotations

import argparse
import math
import sys
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from boxmask_core.atomic import write_bytes_atomically
from boxmask_core.boundary import BoundaryIou, trimap
from boxmask_core.errors import DatasetError
from boxmask_core.evaluation import ConfusionMatrix
from boxmask_core.formats.class_names import CLASS_NAMES, written_class_names
from boxmask_core.formats.keys import listed_keys, listed_lines
from boxmask_core.formats.voc import VOC_CLASSES
from boxmask_core.palette import VOID, decode_label_map, void_of
from boxmask_core.scores import Evaluation, Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxmask_core.palette import LabelArray

VOC_NAMES = ("background", *VOC_CLASSES)


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
    names = VOC_NAMES if options.names is None else listed_lines(options.names)
    _require_same_classes(options.prediction, names)
    chosen = tuple(name.strip() for name in options.classes.split(",")) if options.classes else ()
    keys = _keys(options.truth) if options.ids is None else listed_keys(options.ids)
    evaluation = evaluate(
        options.prediction,
        options.truth,
        keys,
        names,
        chosen,
        boundary=options.boundary,
        trimap_widths=options.trimap,
    )
    if options.json is not None:
        write_bytes_atomically(options.json, evaluation.to_json())
    sys.stdout.write(evaluation.to_text())
    return 0


def evaluate(
    prediction: Path,
    truth: Path,
    keys: Sequence[str],
    names: Sequence[str],
    chosen: Sequence[str] = (),
    *,
    boundary: bool = False,
    trimap_widths: Sequence[int] = (),
) -> Evaluation:
    """Compares two folders of label maps, PNG of 8 or 16 bits.

    Void of the truth is left out. Void of the prediction is wrong; beside that strict measure stand the
    share of pixels that the prediction covers, and the IoU over these.

    Args:
        prediction: Folder of ``KEY.png``.
        truth: Folder of ``KEY.png``; 255 is void, or 65535 in a map of 16 bits.
        keys: The images to compare.
        names: Class names in the order of class indices, the background first.
        chosen: Classes to give a mean of their own.
        boundary: Whether to measure boundary IoU, too.
        trimap_widths: Distances from the outlines of the truth, pixels, within which to measure IoU, too.

    Raises:
        DatasetError: A label map is missing, or a chosen class is unknown.
        InvalidImageError: A file is no PNG.
        InvalidMaskError: A label map has a size or a class index that does not fit.
        InvalidInputError: A trimap's width is below 1.
    """
    unknown = set(chosen) - set(names)
    if unknown:
        raise DatasetError("--classes", f"{sorted(unknown)} are not among the classes {list(names)}")
    region = ConfusionMatrix(len(names))
    bands = BoundaryIou(len(names)) if boundary else None
    trimaps = {width: ConfusionMatrix(len(names)) for width in trimap_widths}
    for key in tqdm(keys, unit="img", disable=None, leave=False):
        predicted, true = _of_one_depth(*(_read(folder / f"{key}.png") for folder in (prediction, truth)))
        region.update(predicted, true, what=key)
        if bands is not None:
            bands.update(predicted, true, what=key)
        for width, matrix in trimaps.items():
            matrix.update(predicted, trimap(true, width), what=key)
    indices = [names.index(name) for name in chosen]
    return Evaluation(
        images=len(keys),
        class_names=tuple(names),
        chosen=tuple(chosen),
        region=Scores.of(region, indices),
        coverage=None if math.isnan(region.coverage()) else region.coverage(),
        where_predicted=Scores.of(region.where_predicted(), indices),
        boundary=None if bands is None else Scores.of(bands, indices),
        trimaps={width: Scores.of(matrix, indices) for width, matrix in trimaps.items()},
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="boxmask evaluate", description=__doc__)
    parser.add_argument(
        "prediction", type=Path, metavar="PRED", help="folder of predicted KEY.png, indexed or greyscale"
    )
    parser.add_argument(
        "truth", type=Path, metavar="GT", help="folder of true KEY.png, void (255) is left out"
    )
    parser.add_argument(
        "--ids", type=Path, metavar="FILE", help="keys to compare, one a line (default: all of GT)"
    )
    parser.add_argument("--classes", metavar="NAME,...", help="classes to give a mean of their own")
    parser.add_argument(
        "--names", type=Path, metavar="FILE", help="class names by index, one a line (default: VOC's 21)"
    )
    parser.add_argument(
        "--boundary",
        action="store_true",
        help="boundary IoU, too: of bands along the outlines, 2 %% of the image's diagonal wide",
    )
    parser.add_argument(
        "--trimap",
        type=_widths,
        default=(),
        metavar="WIDTH,...",
        help="IoU within so many pixels of the outlines of GT (void is one), too, such as 1,2,5,10,20,40",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes the result here, as JSON")
    return parser


def _widths(text: str) -> tuple[int, ...]:
    widths = tuple(int(part) for part in text.split(",") if part.strip().isdecimal())
    if len(widths) != text.count(",") + 1 or min(widths) < 1:
        raise argparse.ArgumentTypeError(
            f"expected whole numbers of 1 or more, such as 5,10, but got {text!r}"
        )
    return widths


def _require_same_classes(prediction: Path, names: Sequence[str]) -> None:
    """Refuses label maps that came with other class names: their indices mean something else."""
    written = written_class_names(prediction) or names
    for index, (found, wanted) in enumerate(zip_longest(written, names, fillvalue="nothing")):
        if found != wanted:
            raise DatasetError(
                prediction,
                f"its {CLASS_NAMES} calls class {index} {found!r}, but it is to be compared as {wanted!r}; "
                "give --names the truth's class list, which must be the same (without it: VOC's 21)",
            )


def _keys(truth: Path) -> tuple[str, ...]:
    found = sorted(path.relative_to(truth).with_suffix("").as_posix() for path in truth.rglob("*.png"))
    if not found:
        raise DatasetError(
            truth, "holds no PNG file; name the folder of the label maps, such as SegmentationClass"
        )
    return tuple(found)


def _of_one_depth(first: LabelArray, second: LabelArray) -> tuple[LabelArray, LabelArray]:
    """Returns both maps in 16 bits if one of them has so many."""
    if first.dtype == second.dtype:
        return first, second
    return _widened(first), _widened(second)


def _widened(labels: LabelArray) -> LabelArray:
    wide = labels.astype(np.uint16)
    if labels.dtype == np.uint8:
        wide[labels == VOID] = void_of(wide)
    return wide


def _read(path: Path) -> LabelArray:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(path, f"the label map cannot be read: {error.strerror}") from error
    return decode_label_map(data, what=str(path))
