"""The output folder: filled in a hidden folder beside it, then there as a whole."""

from __future__ import annotations

import fcntl
import os
import shutil
from typing import TYPE_CHECKING, Final, Self

from boxmask_core.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

SUMMARY: Final = "summary.json"
"""Written last; a folder that holds it is a finished result."""
JOURNAL: Final = ".journal"
"""Folder of the answers that a result was made from, in the result."""


class Stage:
    """A hidden folder beside the output folder.

    It holds ``result``, renamed to the output folder when the command is finished, and ``journal``, what a
    next command with the same place need not do again. A process that is killed leaves the hidden folder,
    and a process that fails leaves it where there is a journal; nothing of a result is ever at the place
    before all of it. The lock on the folder dies with the process that holds it. A context manager.

    Args:
        out: The output folder. Its parent is made if it is missing.
        overwrite: Whether an earlier result at ``out`` is replaced.
        shared: Whether this process only adds to the journal, beside others that do so too; it has no result.

    Attributes:
        root: The folder to fill.
        journal: The folder of the journal; it is not made.

    Raises:
        DatasetError: Something is at ``out`` that must not be replaced, or another process is filling it.
    """

    def __init__(self, out: Path, *, overwrite: bool, shared: bool = False) -> None:
        self._out = out.resolve()  # of a link to a folder, the folder is replaced and not the link
        require_free(self._out, overwrite=overwrite)
        self._out.parent.mkdir(parents=True, exist_ok=True)
        self._folder = hidden_folder(self._out)
        self.root = self._folder / "result"
        self.journal = self._folder / "journal"
        self._replaced = self._folder / "replaced"
        self._shared = shared
        self._lock = _locked(self._folder, shared=shared)
        if not shared:
            self._tidy_up()
            self.root.mkdir()

    def commit(self) -> None:
        """Makes the output folder appear, and removes the hidden folder."""
        os.sync()  # all files at once: one by one, each would wait for the disk
        if self._out.exists():
            self._out.rename(self._replaced)
        self.root.rename(self._out)
        _sync(self._out.parent)
        shutil.rmtree(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self._shared and self._folder.exists():
                self._tidy_up()
                if not self.journal.exists():
                    self._folder.rmdir()
        finally:
            os.close(self._lock)

    def _tidy_up(self) -> None:
        """Removes what an unfinished command left, but for the journal."""
        if self._replaced.exists() and not self._out.exists():
            self._replaced.rename(self._out)  # it died between the two renames of a commit
        for left in (self.root, self._replaced):
            if left.exists():
                shutil.rmtree(left)
        if self.journal.exists() and not any(file.stat().st_size for file in self.journal.iterdir()):
            shutil.rmtree(self.journal)


def hidden_folder(out: Path) -> Path:
    """Returns the folder in which an output folder is filled."""
    place = out.resolve()
    return place.with_name(f".{place.name}.partial")


def require_free(out: Path, *, overwrite: bool) -> None:
    """Checks that a result may be put at a place.

    Raises:
        DatasetError: Something else is there, a mount point, or an earlier result that is not to be replaced.
    """
    if out.resolve().is_mount():
        raise DatasetError(out, "is a mount point, which no finished folder can replace; name a folder in it")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / SUMMARY).is_file():
        raise DatasetError(out, f"is there and no earlier result (no {SUMMARY}); name another OUT")
    if not overwrite:
        raise DatasetError(out, "holds an earlier result; pass --overwrite to replace it")


def _locked(folder: Path, *, shared: bool) -> int:
    """Makes the folder if it is missing, and returns a descriptor that holds its lock."""
    while True:
        folder.mkdir(exist_ok=True)
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue  # the process that held it was finished at this moment
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise DatasetError(folder, "another process is filling it; wait until it is done") from error
        if folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat()):
            return descriptor
        os.close(descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
