"""YOLO-seg: masks as one polygon per line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import yaml

from boxmask_core.atomic import write_bytes_atomically
from boxmask_core.formats.closing import BRIDGED_HOLES, BRIDGED_PARTS
from boxmask_core.formats.interface import PLAIN
from boxmask_core.formats.whole_masks import WholeMaskWriter
from boxmask_core.formats.yolo import CONFIG
from boxmask_core.instances import Flags
from boxmask_core.polygons import bridged_polygon, connected_parts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_core.formats.interface import WriterOptions
    from boxmask_core.instances import InstanceMask, MaskedImage

PartsRule = Literal["bridge", "split", "largest"]

SPLIT_PARTS = "parts written as objects of their own"
SMALLER_PARTS = "smaller parts left out"
DROPPED_FLAGS = "instances whose flags are dropped"

_INTO_THE_PIXEL = 0.45
"""Added to pixel coordinates: a reader that cuts off decimals and one that rounds find the same pixel.

Six decimals leave it under one half up to sides of 100 000 pixels. Readers that draw through points resampled
along the ring, as trainers do, come the nearer to the mask the nearer a vertex is to the middle of its pixel.
"""

_HEADER = "# Masks made from boxes by boxmask. The images belong beside labels, in a folder images.\n"


class YoloSegWriter(WholeMaskWriter):
    """Writes ``labels/KEY.txt`` and, last, ``data.yaml``.

    A line is ``class x1 y1 x2 y2 ...``, normalised by the image's size. The format knows one ring per
    object: holes hang on bridges of zero width, and what becomes of further parts is a choice. All of it is
    counted in ``losses``.

    Args:
        out: The folder to write to.
        class_names: Every class; the first gets index 0.
        options: What the user decided; overlaps are kept, and ``void_below`` is refused.
        parts: "bridge" hangs further parts on bridges, "split" writes each part (8-connected) as a line of
            its own, and so as an object of its own; "largest" writes the part with the most pixels alone.

    Raises:
        DatasetError: Masks that are not trusted are to become void.
    """

    def __init__(
        self,
        out: Path,
        class_names: Sequence[str],
        options: WriterOptions = PLAIN,
        *,
        parts: PartsRule = "bridge",
    ) -> None:
        super().__init__(out, class_names, options)
        self._parts = parts
        self._out = out
        self._indices = {name: index for index, name in enumerate(class_names)}

    def write(self, image: MaskedImage) -> tuple[()]:
        """Writes the label file of one image.

        Raises:
            DatasetError: A class is not among the dataset's class names.
            OSError: The file system refuses.
        """
        lines = [line for _, mask in self.filled(image) for line in self._lines(mask, image)]
        text = "".join(f"{line}\n" for line in lines)
        write_bytes_atomically(self._out / "labels" / f"{image.key}.txt", text.encode(), sync=False)
        return ()

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

    def _lines(self, mask: InstanceMask, image: MaskedImage) -> list[str]:
        pixels = mask.proposal.mask
        parts = [pixels] if self._parts == "bridge" else connected_parts(pixels)
        self.count({DROPPED_FLAGS: int(mask.instance.flags != Flags())})
        if self._parts == "split":
            self.count({SPLIT_PARTS: len(parts) - 1})
        elif self._parts == "largest":
            self.count({SMALLER_PARTS: len(parts) - 1})
            parts = parts[:1]
        lines = [self._line(part, mask, image) for part in parts]
        return [line for line in lines if line is not None]

    def _line(self, pixels: NDArray[np.bool_], mask: InstanceMask, image: MaskedImage) -> str | None:
        polygon = bridged_polygon(pixels)
        if polygon is None:
            return None
        found = {
            BRIDGED_PARTS: polygon.bridged_parts,
            BRIDGED_HOLES: polygon.bridged_holes,
        }
        self.count(found)
        window = mask.proposal.window
        points = polygon.points + np.array([window.x0, window.y0]) + _INTO_THE_PIXEL
        normalised = (points / np.array([image.width, image.height])).ravel()
        numbers = " ".join(f"{value:.6f}" for value in normalised)
        return f"{self._indices[mask.instance.class_name]} {numbers}"
