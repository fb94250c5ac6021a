"""What writers share whose format keeps every mask whole, whatever lies over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxmask_core.errors import DatasetError
from boxmask_core.formats.class_names import require_known_classes
from boxmask_core.formats.closing import EMPTY_MASK, ClosingWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from boxmask_core.formats.interface import WriterOptions
    from boxmask_core.instances import InstanceMask, MaskedImage


class WholeMaskWriter(ClosingWriter):
    """Writes whole masks; how a label map would settle overlaps is nothing to it.

    Args:
        out: The folder to write to.
        class_names: Every class.
        options: What the user decided.

    Raises:
        DatasetError: Masks that are not trusted are to become void, which the format does not know.
    """

    def __init__(self, out: Path, class_names: Sequence[str], options: WriterOptions) -> None:
        if options.void_below is not None:
            raise DatasetError(
                out,
                f"masks of a quality below {options.void_below:g} are to become void, but this format holds "
                "instances and no void; write a label map instead (voc, semantic, cityscapes, "
                "coco-panoptic), or trust every mask and leave out --void-uncertain",
            )
        super().__init__()
        self._class_names = tuple(class_names)

    def filled(self, image: MaskedImage) -> list[tuple[int, InstanceMask]]:
        """Returns the masks of an image that have a pixel, each with its place, and counts the others.

        Raises:
            DatasetError: A class is not among the dataset's class names.
        """
        require_known_classes(image, self._class_names)
        found = [(index, mask) for index, mask in enumerate(image.masks) if mask.proposal.mask.any()]
        self.count({EMPTY_MASK: len(image.masks) - len(found)})
        return found
