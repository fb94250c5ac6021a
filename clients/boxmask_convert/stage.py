"""The output folder: hidden while it is being filled, then there as a whole."""

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


class Stage:
    """A hidden folder beside the output folder, renamed to it when the command is finished.

    A process that is killed leaves only the hidden folder, which the next command with the same place
    removes: the lock on a folder dies with the process that filled it. A context manager; without `commit`,
    leaving it removes what was written.

    Args:
        out: The output folder. Its parent is made if it is missing.
        overwrite: Whether an earlier result at ``out`` is replaced.

    Raises:
        DatasetError: Something is at ``out`` that must not be replaced.
    """

    def __init__(self, out: Path, *, overwrite: bool) -> None:
        self._out = out.absolute()
        self._check(overwrite)
        self._out.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(self._out)
        self.root = self._out.with_name(f"{_prefix(self._out)}{os.getpid()}")
        self.root.mkdir()
        self._lock = _locked(self.root)

    def commit(self) -> None:
        """Makes the output folder appear."""
        for folder, _, _ in os.walk(self.root):
            _sync(folder)
        replaced = self._out.with_name(f"{_prefix(self._out)}{os.getpid()}-replaced")
        if self._out.exists():
            self._out.rename(replaced)
        self.root.rename(self._out)
        _sync(self._out.parent)
        if replaced.exists():
            shutil.rmtree(replaced)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.root.exists():
            shutil.rmtree(self.root)
        if self._lock is not None:
            os.close(self._lock)

    def _check(self, overwrite: bool) -> None:
        if not self._out.exists() or (self._out.is_dir() and not any(self._out.iterdir())):
            return
        if not (self._out / SUMMARY).is_file():
            raise DatasetError(self._out, f"is there and no earlier result (no {SUMMARY}); name another OUT")
        if not overwrite:
            raise DatasetError(self._out, "holds an earlier result; pass --overwrite to replace it")


def _prefix(out: Path) -> str:
    return f".{out.name}.partial-"


def _remove_stale(out: Path) -> None:
    for folder in out.parent.glob(f"{_prefix(out)}*"):
        lock = _locked(folder)
        if lock is None:
            continue  # another process is filling it
        shutil.rmtree(folder)
        os.close(lock)


def _locked(folder: Path) -> int | None:
    """Returns a descriptor that holds the folder's lock, or None where another process holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _sync(folder: str | Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
