"""Pascal VOC: masks as indexed PNG, classes and objects."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from boxmask_core.atomic import write_bytes_atomically
from boxmask_core.formats.class_names import write_class_names
from boxmask_core.formats.label_maps import LabelMapWriter
from boxmask_core.palette import encode_indexed_png

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from boxmask_core.instances import LabelMaps, MaskedImage

_MAX_CLASSES = 254


class VocMaskWriter(LabelMapWriter):
    """Writes ``SegmentationClass/KEY.png`` and ``SegmentationObject/KEY.png`` and, last, ``class_names.txt``.

    More than 254 instances in one image make its object map a 16-bit greyscale PNG.

    Args:
        out: The folder to write to.
        class_names: Every class, at most 254; the first gets index 1.

    Raises:
        DatasetError: More than 254 classes.
    """

    def __init__(self, out: Path, class_names: Sequence[str]) -> None:
        super().__init__(out, class_names, most=_MAX_CLASSES, holder="VOC label maps")

    def write(self, image: MaskedImage) -> None:
        """Writes the class map and the object map of one image.

        Raises:
            DatasetError: A class is not among the dataset's class names.
            OSError: The file system refuses.
        """
        maps = self.composed(image)
        classes = encode_indexed_png(maps.classes)
        write_bytes_atomically(self._out / "SegmentationClass" / f"{image.key}.png", classes)
        write_bytes_atomically(self._out / "SegmentationObject" / f"{image.key}.png", _object_png(maps))

    def close(self) -> None:
        """Writes ``class_names.txt``."""
        write_class_names(self._out, self._class_names)


def _object_png(maps: LabelMaps) -> bytes:
    if maps.objects.dtype.itemsize == 1:
        return encode_indexed_png(maps.objects.astype(np.uint8, copy=False))
    out = io.BytesIO()
    Image.fromarray(maps.objects).save(out, format="PNG")
    return out.getvalue()
