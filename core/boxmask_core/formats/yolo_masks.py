"""YOLO-seg: masks as one polygon per line."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Self

import numpy as np
import yaml

from boxmask_core.atomic import write_bytes_atomically
from boxmask_core.formats.class_names import require_known_classes
from boxmask_core.formats.yolo import CONFIG
from boxmask_core.instances import Flags
from boxmask_core.polygons import bridged_polygon

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from boxmask_core.instances import InstanceMask, MaskedImage

_INTO_THE_PIXEL = 0.25
"""Added to pixel coordinates: a reader that cuts off decimals and one that rounds find the same pixel."""

_HEADER = "# Masks made from boxes by boxmask. The images belong beside labels, in a folder images.\n"


class YoloSegWriter:
    """Writes ``labels/KEY.txt`` and, last, ``data.yaml``.

    A line is ``class x1 y1 x2 y2 ...``, normalised by the image's size. The format knows one ring per object:
    holes and further parts hang on bridges of zero width, and are counted in ``losses``.

    Args:
        out: The folder to write to.
        class_names: Every class; the first gets index 0.
    """

    def __init__(self, out: Path, class_names: Sequence[str]) -> None:
        self._out = out
        self._class_names = tuple(class_names)
        self._indices = {name: index for index, name in enumerate(class_names)}
        self.losses: Counter[str] = Counter()

    def write(self, image: MaskedImage) -> None:
        """Writes the label file of one image.

        Raises:
            DatasetError: A class is not among the dataset's class names.
            OSError: The file system refuses.
        """
        require_known_classes(image, self._indices)
        lines = [line for mask in image.masks if (line := self._line(mask, image)) is not None]
        text = "".join(f"{line}\n" for line in lines)
        write_bytes_atomically(self._out / "labels" / f"{image.key}.txt", text.encode())

    def close(self) -> None:
        """Writes ``data.yaml``."""
        config = {
            "path": ".",
            "train": "images",
            "val": "images",
            "names": dict(enumerate(self._class_names)),
        }
        text = _HEADER + yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        write_bytes_atomically(self._out / CONFIG, text.encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()

    def _line(self, mask: InstanceMask, image: MaskedImage) -> str | None:
        polygon = bridged_polygon(mask.proposal.mask)
        if polygon is None:
            self.losses["instances with an empty mask"] += 1
            return None
        found = {
            "parts joined by a bridge": polygon.bridged_parts,
            "holes joined by a bridge": polygon.bridged_holes,
            "instances whose flags are dropped": int(mask.instance.flags != Flags()),
        }
        self.losses.update({loss: count for loss, count in found.items() if count})
        window = mask.proposal.window
        points = polygon.points + np.array([window.x0, window.y0]) + _INTO_THE_PIXEL
        normalised = (points / np.array([image.width, image.height])).ravel()
        numbers = " ".join(f"{value:.6f}" for value in normalised)
        return f"{self._indices[mask.instance.class_name]} {numbers}"
