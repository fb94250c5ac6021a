"""Ultralytics semantic segmentation: an 8-bit greyscale PNG of class indices per image, and ``data.yaml``."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import yaml
from PIL import Image

from boxmask_core.atomic import write_bytes_atomically
from boxmask_core.formats.label_maps import LabelMapWriter
from boxmask_core.formats.yolo import CONFIG
from boxmask_core.palette import BACKGROUND, VOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from boxmask_core.instances import MaskedImage

MERGED_INSTANCES = "instances that become part of their class"
_MAX_CLASSES = VOID - 1
_HEADER = "# Masks made from boxes by boxmask. The images belong beside masks, in a folder images.\n"


class SemanticWriter(LabelMapWriter):
    """Writes ``masks/KEY.png`` and, last, ``data.yaml`` with ``masks_dir: masks``.

    Index 0 is the background, a class of its own as the format asks for; 255 would be ignored, and no pixel
    is. Instances of a class become one area, and flags are dropped.

    Args:
        out: The folder to write to.
        class_names: Every class, at most 254; the first gets index 1.

    Raises:
        DatasetError: More than 254 classes.
    """

    def __init__(self, out: Path, class_names: Sequence[str]) -> None:
        super().__init__(out, class_names, most=_MAX_CLASSES, holder="class indices of 8 bits")

    def write(self, image: MaskedImage) -> None:
        """Writes the class map of one image.

        Raises:
            DatasetError: A class is not among the dataset's class names.
            OSError: The file system refuses.
        """
        maps = self.composed(image)
        self.count({MERGED_INSTANCES: len(image.masks)})
        write_bytes_atomically(self._out / "masks" / f"{image.key}.png", grey_png(maps.classes))

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


def grey_png(values: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Returns a greyscale PNG of 8 or 16 bits, by the array's type."""
    out = io.BytesIO()
    Image.fromarray(values).save(out, format="PNG")
    return out.getvalue()
