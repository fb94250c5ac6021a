"""What writers share that put the masks of all images into one file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, BinaryIO

from boxmask_core.atomic import open_atomically
from boxmask_core.formats.line_journal import LineJournal
from boxmask_core.formats.whole_masks import WholeMaskWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from boxmask_core.formats.interface import WriterOptions


class OneFileWriter(WholeMaskWriter, ABC):
    """Writes one file, complete or absent, the same whatever the order of the images.

    While it runs, what is written of each image goes to a hidden part file, so that memory does not grow with
    the masks; `close` assembles the file from it, by key.

    Args:
        out: The folder to write to.
        class_names: Every class.
        options: What the user decided.
        name: Of the file.

    Raises:
        DatasetError: Masks that are not trusted are to become void.
        OSError: The file system refuses.
    """

    def __init__(self, out: Path, class_names: Sequence[str], options: WriterOptions, name: str) -> None:
        super().__init__(out, class_names, options)
        self._path = out / name
        self._journal = LineJournal(out, name)

    def close(self) -> None:
        """Assembles the file and removes the part file."""
        with open_atomically(self._path) as file:
            self._assemble(file)
        self.discard()

    def discard(self) -> None:
        """Removes the part file."""
        self._journal.discard()

    @abstractmethod
    def _assemble(self, file: BinaryIO) -> None:
        """Writes all that the part file holds."""
