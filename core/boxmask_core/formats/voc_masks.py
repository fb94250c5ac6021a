"""Pascal VOC: masks as indexed PNG, classes and objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxmask_core.atomic import write_bytes_atomically
from boxmask_core.formats.class_names import write_class_names
from boxmask_core.formats.interface import PLAIN
from boxmask_core.formats.label_maps import LabelMapWriter
from boxmask_core.palette import MAX_8_BIT, MAX_16_BIT, encode_label_map

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from boxmask_core.formats.interface import WriterOptions
    from boxmask_core.instances import LabelMaps, MaskedImage

_DEEP = "16-bit greyscale PNG without a palette, in which 65535 is void"


class VocMaskWriter(LabelMapWriter):
    """Writes ``SegmentationClass/KEY.png`` and ``SegmentationObject/KEY.png`` and, last, ``class_names.txt``.

    Void is 255 in both. More than 254 classes make every class map, more than 254 instances in one image its
    object map a 16-bit greyscale PNG, in which void is 65535; ``notes`` say so.

    Args:
        out: The folder to write to.
        class_names: Every class, at most 65534; the first gets index 1.
        options: Who owns a pixel that several masks claim, and which masks are trusted.

    Raises:
        DatasetError: More than 65534 classes.
        InvalidRequestError: The priority names a class that there is not.
    """

    def __init__(self, out: Path, class_names: Sequence[str], options: WriterOptions = PLAIN) -> None:
        super().__init__(out, class_names, options, most=MAX_16_BIT, holder="VOC label maps")
        self._deep_object_maps = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """Which label maps need 16 bits so far."""
        found = []
        if (classes := len(self._class_names)) > MAX_8_BIT:
            found.append(f"{classes} classes do not fit into 8 bits: SegmentationClass holds {_DEEP}")
        if self._deep_object_maps:
            found.append(
                f"images with more than {MAX_8_BIT} instances: {self._deep_object_maps}; their "
                f"SegmentationObject is a {_DEEP}"
            )
        return tuple(found)

    def _save(self, image: MaskedImage, maps: LabelMaps) -> None:
        for folder, labels in (("SegmentationClass", maps.classes), ("SegmentationObject", maps.objects)):
            place = self._out / folder / f"{image.key}.png"
            write_bytes_atomically(place, encode_label_map(labels), sync=False)
        self._deep_object_maps += maps.objects.dtype.itemsize > 1

    def close(self) -> None:
        """Writes ``class_names.txt``."""
        write_class_names(self._out, self._class_names)
