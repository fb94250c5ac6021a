"""Ultralytics semantic segmentation: an 8-bit greyscale PNG of class indices per image, and ``data.yaml``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from boxmask_core.atomic import write_bytes_atomically
from boxmask_core.formats.interface import PLAIN
from boxmask_core.formats.label_maps import LabelMapWriter
from boxmask_core.formats.yolo import CONFIG
from boxmask_core.palette import BACKGROUND, MAX_8_BIT, grey_png

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from boxmask_core.formats.interface import WriterOptions
    from boxmask_core.instances import LabelMaps, MaskedImage

MERGED_INSTANCES = "instances that become part of their class"
_HEADER = "# Masks made from boxes by boxmask. The images belong beside masks, in a folder images.\n"


class SemanticWriter(LabelMapWriter):
    """Writes ``masks/KEY.png`` and, last, ``data.yaml`` with ``masks_dir: masks``.

    Index 0 is the background, a class of its own as the format asks for; 255 is void, which Ultralytics
    leaves out of loss and metrics. It does so with 255 whatever the depth of the file, and therefore maps of
    16 bits are not written. Instances of a class become one area, and flags are dropped.

    Args:
        out: The folder to write to.
        class_names: Every class, at most 254; the first gets index 1.
        options: Who owns a pixel that several masks claim, and which masks are trusted.

    Raises:
        DatasetError: More than 254 classes.
        InvalidRequestError: The priority names a class that there is not.
    """

    def __init__(self, out: Path, class_names: Sequence[str], options: WriterOptions = PLAIN) -> None:
        super().__init__(
            out,
            class_names,
            options,
            most=MAX_8_BIT,
            holder="class indices of 8 bits",
            instead="VOC, whose maps may have 16, or COCO",
        )

    def _save(self, image: MaskedImage, maps: LabelMaps) -> None:
        self.count({MERGED_INSTANCES: len(image.masks)})
        place = self._out / "masks" / f"{image.key}.png"
        write_bytes_atomically(place, grey_png(maps.classes), sync=False)

    def close(self) -> None:
        """Writes ``data.yaml``."""
        config = {
            "path": ".",
            "train": "images",
            "val": "images",
            "masks_dir": "masks",
            "names": dict(enumerate((BACKGROUND, *self._indices))),
        }
        text = _HEADER + yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        write_bytes_atomically(self._out / CONFIG, text.encode())
