"""Pascal VOC: masks as indexed PNG, classes and objects."""

from __future__ import annotations

import io
from collections import Counter
from typing import TYPE_CHECKING, Self

import numpy as np
from PIL import Image

from boxmask_core.atomic import write_bytes_atomically
from boxmask_core.compositing import compose
from boxmask_core.errors import DatasetError
from boxmask_core.formats.class_names import require_known_classes, write_class_names
from boxmask_core.palette import encode_indexed_png

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from boxmask_core.instances import LabelMaps, MaskedImage

_MAX_CLASSES = 254


class VocMaskWriter:
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
        self._out = out
        self._class_names = tuple(class_names)
        self._indices = {name: index for index, name in enumerate(class_names, start=1)}
        self.losses: Counter[str] = Counter()

    def write(self, image: MaskedImage) -> None:
        """Writes the class map and the object map of one image.

        Raises:
            DatasetError: A class is not among the dataset's class names.
            OSError: The file system refuses.
        """
        require_known_classes(image, self._indices)
        maps = compose(image.width, image.height, image.masks, self._indices)
        self._count_losses(image, maps)
        classes = encode_indexed_png(maps.classes)
        write_bytes_atomically(self._out / "SegmentationClass" / f"{image.key}.png", classes)
        write_bytes_atomically(self._out / "SegmentationObject" / f"{image.key}.png", _object_png(maps))

    def close(self) -> None:
        """Writes ``class_names.txt``."""
        write_class_names(self._out, self._class_names)

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

    def _count_losses(self, image: MaskedImage, maps: LabelMaps) -> None:
        areas = [int(np.count_nonzero(mask.proposal.mask)) for mask in image.masks]
        seen = np.bincount(maps.objects.ravel(), minlength=len(areas) + 1)[1:].tolist()
        hidden = sum(area > 0 and pixels == 0 for area, pixels in zip(areas, seen, strict=True))
        found = {
            "pixels that lie under a smaller box": sum(areas) - sum(seen),
            "instances that lie wholly under smaller boxes": hidden,
            "instances with an empty mask": areas.count(0),
        }
        self.losses.update({loss: count for loss, count in found.items() if count})


def _object_png(maps: LabelMaps) -> bytes:
    if maps.objects.dtype.itemsize == 1:
        return encode_indexed_png(maps.objects.astype(np.uint8, copy=False))
    out = io.BytesIO()
    Image.fromarray(maps.objects).save(out, format="PNG")
    return out.getvalue()
