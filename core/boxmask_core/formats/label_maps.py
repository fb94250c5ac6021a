"""What writers of label maps share: how many classes there may be, and one map of each image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxmask_core.compositing import compose
from boxmask_core.errors import DatasetError
from boxmask_core.formats.class_names import require_known_classes
from boxmask_core.formats.closing import ClosingWriter
from boxmask_core.formats.flat_losses import flat_losses

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from boxmask_core.instances import LabelMaps, MaskedImage


class LabelMapWriter(ClosingWriter):
    """Writes label maps.

    Args:
        out: The folder to write to.
        class_names: Every class; the first gets index 1, and 0 is the background.
        most: Classes that the format holds.
        holder: What of the format holds them, in the plural, for people.

    Raises:
        DatasetError: There are more classes.
    """

    def __init__(self, out: Path, class_names: Sequence[str], *, most: int, holder: str) -> None:
        if len(class_names) > most:
            problem = f"{holder} hold at most {most} classes, but got {len(class_names)}"
            raise DatasetError(out, f"{problem}; write COCO instead")
        super().__init__()
        self._out = out
        self._class_names = tuple(class_names)
        self._indices = {name: index for index, name in enumerate(class_names, start=1)}

    def composed(self, image: MaskedImage) -> LabelMaps:
        """Returns the maps of one image, and counts what they lose.

        Raises:
            DatasetError: A class is not among the dataset's class names.
        """
        require_known_classes(image, self._indices)
        maps = compose(image.width, image.height, image.masks, self._indices)
        self.count(flat_losses(image, maps.objects))
        return maps
