"""Cityscapes-like: ``*_instanceIds.png`` of 16 bits and ``*_labelIds.png`` of 8 bits per image.

A pixel of the n-th instance of a class, counted from 0, is class * 1000 + n. A pixel of a class without an
instance is the class alone: so Cityscapes marks groups, and so are crowds written, and instances beyond the
1000th.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from boxmask_core.atomic import write_bytes_atomically
from boxmask_core.formats.class_names import write_class_names
from boxmask_core.formats.label_maps import LabelMapWriter
from boxmask_core.formats.semantic_masks import grey_png

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from boxmask_core.instances import MaskedImage

FOLDER = "gtFine"
UNNUMBERED_INSTANCES = "instances beyond 1000 of a class"
_PER_CLASS = 1000
_MAX_CLASSES = (1 << 16) // _PER_CLASS - 1


class CityscapesWriter(LabelMapWriter):
    """Writes ``gtFine/KEY_gtFine_instanceIds.png``, ``..._labelIds.png`` and, last, ``class_names.txt``.

    Args:
        out: The folder to write to.
        class_names: Every class, at most 64; the first gets index 1, and 0 is the background.

    Raises:
        DatasetError: More than 64 classes.
    """

    def __init__(self, out: Path, class_names: Sequence[str]) -> None:
        super().__init__(out, class_names, most=_MAX_CLASSES, holder="instance ids of 16 bits")

    def write(self, image: MaskedImage) -> None:
        """Writes both maps of one image.

        Raises:
            DatasetError: A class is not among the dataset's class names.
            OSError: The file system refuses.
        """
        maps = self.composed(image)
        ids = np.array([0, *self._instance_ids(image)], dtype=np.uint16)
        place = self._out / FOLDER / f"{image.key}_gtFine_labelIds.png"
        write_bytes_atomically(place, grey_png(maps.classes))
        place = self._out / FOLDER / f"{image.key}_gtFine_instanceIds.png"
        write_bytes_atomically(place, grey_png(ids[maps.objects]))

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
