"""What writers of label maps share: how many classes there may be, and one map of each image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from boxmask_core.compositing import compose
from boxmask_core.errors import DatasetError
from boxmask_core.formats.class_names import require_known_classes
from boxmask_core.formats.closing import ClosingWriter
from boxmask_core.formats.flat_losses import flat_losses

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from boxmask_core.formats.interface import WriterOptions
    from boxmask_core.instances import LabelMaps, MaskedImage


class LabelMapWriter(ClosingWriter, ABC):
    """Writes label maps.

    Args:
        out: The folder to write to.
        class_names: Every class; the first gets index 1, and 0 is the background.
        options: Who owns a pixel that several masks claim, and which masks are trusted.
        most: Classes that the format holds.
        holder: What of the format holds them, in the plural, for people.
        instead: What holds more, for people.

    Raises:
        DatasetError: There are more classes.
        InvalidRequestError: The priority names a class that there is not.
    """

    def __init__(
        self,
        out: Path,
        class_names: Sequence[str],
        options: WriterOptions,
        *,
        most: int,
        holder: str,
        instead: str = "COCO",
    ) -> None:
        if len(class_names) > most:
            problem = f"{holder} hold at most {most} classes, but got {len(class_names)}"
            raise DatasetError(out, f"{problem}; write {instead} instead")
        options.overlaps.require_known(class_names)
        super().__init__()
        self._out = out
        self._class_names = tuple(class_names)
        self._options = options
        self._indices = {name: index for index, name in enumerate(class_names, start=1)}

    def write(self, image: MaskedImage) -> tuple[str, ...]:
        """Writes the maps of one image, and counts what they lose.

        Returns:
            The ids of instances that lose every pixel to overlaps.

        Raises:
            DatasetError: A class is not among the dataset's class names, or the format takes an image once
                and this one was written before.
            InvalidMaskError: There are more than 65534 instances.
            OSError: The file system refuses.
        """
        require_known_classes(image, self._indices)
        overlaps, void_below = self._options.overlaps, self._options.void_below
        maps = compose(image.width, image.height, image.masks, self._indices, overlaps, void_below)
        losses = flat_losses(image, maps.objects, void_below)
        self.count(losses.counts)
        self._save(image, maps)
        return losses.hidden

    @abstractmethod
    def _save(self, image: MaskedImage, maps: LabelMaps) -> None:
        """Writes the files of one image."""
