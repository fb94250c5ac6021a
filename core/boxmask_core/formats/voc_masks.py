"""Pascal VOC: masks as indexed PNG, classes and objects."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from boxmask_core.atomic import write_bytes_atomically
from boxmask_core.compositing import compose
from boxmask_core.errors import DatasetError
from boxmask_core.formats.class_names import require_known_classes, write_class_names
from boxmask_core.formats.closing import ClosingWriter
from boxmask_core.formats.flat_losses import flat_losses
from boxmask_core.palette import encode_indexed_png

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from boxmask_core.instances import LabelMaps, MaskedImage

_MAX_CLASSES = 254


class VocMaskWriter(ClosingWriter):
    """Writes ``SegmentationClass/KEY.png`` and ``SegmentationObject/KEY.png`` and, last, ``class_names.txt``.

    More than 254 instances in one image make its object map a 16-bit greyscale PNG.

    Args:
        out: The folder to write to.
        class_names: Every class, at most 254; the first gets index 1.

    Raises:
        DatasetError: More than 254 classes.
    """

    def __init__(self, out: Path, class_names: Sequence[str]) -> None:
        if len(class_names) > _MAX_CLASSES:
            problem = f"VOC label maps hold at most {_MAX_CLASSES} classes, but got {len(class_names)}"
            raise DatasetError(out, f"{problem}; write COCO instead")
        super().__init__()
        self._out = out
        self._class_names = tuple(class_names)
        self._indices = {name: index for index, name in enumerate(class_names, start=1)}

    def write(self, image: MaskedImage) -> None:
        """Writes the class map and the object map of one image.

        Raises:
            DatasetError: A class is not among the dataset's class names.
            OSError: The file system refuses.
        """
        require_known_classes(image, self._indices)
        maps = compose(image.width, image.height, image.masks, self._indices)
        self.count(flat_losses(image, maps.objects))
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
