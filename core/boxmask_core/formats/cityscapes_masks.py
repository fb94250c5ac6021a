"""Cityscapes-like: ``*_instanceIds.png`` of 16 bits and ``*_labelIds.png`` of 8 bits per image.

A pixel of the n-th instance of a class, counted from 0, is class * 1000 + n. A pixel of a class without an
instance is the class alone: so Cityscapes marks groups, and so are crowds written, and instances beyond the
1000th. Void is 255 in both maps: no class has that index, and 255 is what Cityscapes' training ids ignore.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from boxmask_core.atomic import write_bytes_atomically
from boxmask_core.formats.class_names import write_class_names
from boxmask_core.formats.interface import PLAIN
from boxmask_core.formats.label_maps import LabelMapWriter
from boxmask_core.palette import VOID, grey_png, void_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from boxmask_core.formats.interface import WriterOptions
    from boxmask_core.instances import LabelMaps, MaskedImage

FOLDER = "gtFine"
UNNUMBERED_INSTANCES = "instances beyond 1000 of a class"
_PER_CLASS = 1000
_MAX_CLASSES = (1 << 16) // _PER_CLASS - 1


class CityscapesWriter(LabelMapWriter):
    """Writes ``gtFine/KEY_gtFine_instanceIds.png``, ``..._labelIds.png`` and, last, ``class_names.txt``.

    Args:
        out: The folder to write to.
        class_names: Every class, at most 64; the first gets index 1, and 0 is the background.
        options: Who owns a pixel that several masks claim, and which masks are trusted.

    Raises:
        DatasetError: More than 64 classes.
        InvalidRequestError: The priority names a class that there is not.
    """

    def __init__(self, out: Path, class_names: Sequence[str], options: WriterOptions = PLAIN) -> None:
        super().__init__(
            out,
            class_names,
            options,
            most=_MAX_CLASSES,
            holder="instance ids of 16 bits",
            instead="VOC, whose objects and classes are maps of their own, or COCO",
        )

    def _save(self, image: MaskedImage, maps: LabelMaps) -> None:
        ids = np.full(void_of(maps.objects) + 1, VOID, dtype=np.uint16)
        ids[: len(image.masks) + 1] = [0, *self._instance_ids(image)]
        for name, labels in (("labelIds", maps.classes), ("instanceIds", ids[maps.objects])):
            place = self._out / FOLDER / f"{image.key}_gtFine_{name}.png"
            write_bytes_atomically(place, grey_png(labels), sync=False)

    def close(self) -> None:
        """Writes ``class_names.txt``."""
        write_class_names(self._out, self._class_names)

    def _instance_ids(self, image: MaskedImage) -> list[int]:
        numbers: Counter[str] = Counter()
        ids = []
        for mask in image.masks:
            name = mask.instance.class_name
            index = self._indices[name]
            if mask.instance.flags.crowd or numbers[name] == _PER_CLASS:
                self.count({UNNUMBERED_INSTANCES: int(not mask.instance.flags.crowd)})
                ids.append(index)
                continue
            ids.append(index * _PER_CLASS + numbers[name])
            numbers[name] += 1
        return ids
