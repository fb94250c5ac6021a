"""The journal of a conversion: every answer, one line of JSON, so that none is asked for twice.

A line is appended when its answer comes. What a killed process leaves is read by the next one; a last line
that was cut off is dropped. Answers are found by their keys (`boxmask_convert.answers.keys`), so it is plain
when they may be used again: the same image, boxes and network give the same masks.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from array import array
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from boxmask_core.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO

    from numpy.typing import NDArray

ANSWERS_FILE: Final = "answers.jsonl"
"""Name of the file of a result's answers, and of those that a run was given."""
UNUSED_FILE: Final = "unused.jsonl"
"""Name of the file of earlier answers that a result did not need."""
_HEAD: Final = b'{"key":"'
_KEY: Final = slice(len(_HEAD), len(_HEAD) + 32)
_FAILED: Final = b',"failed":'
_SYNC_SECONDS: Final = 1.0
"""What a machine that loses power may lose; a process that is killed loses nothing that it was told."""


class Journal:
    """Finds answers of earlier runs and keeps those of this one; a context manager.

    Args:
        file: The file that is appended to. It is made if it is missing; while it is open, no other process
            may open it.
        earlier: Further files to find answers in. Those that are missing are passed over.
        failed: Whether lines of failures are found; if not, what failed is asked about again.

    Raises:
        DatasetError: Another process works with the file.
        OSError: The file system refuses.
    """

    def __init__(self, file: Path, earlier: Iterable[Path] = (), *, failed: bool = True) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = _locked(file)
        self._synced = monotonic()
        try:
            _cut_off(self._file)
            # The later of two lines holds, and what this file has is later than what came before it.
            paths = [*(path for path in earlier if path != file and path.is_file()), file]
            self._found = _Lines(paths, failed=failed)
        except BaseException:
            self._file.close()
            raise

    def __len__(self) -> int:
        """Number of lines that earlier runs left."""
        return len(self._found)

    def find(self, key: str) -> Mapping[str, Any] | None:
        """Returns the fields of an answer that an earlier run left, or None."""
        return self._found.find(key)

    def known(self) -> NDArray[np.uint64]:
        """Returns the first halves of the keys of all answers that earlier runs left: shape (N,), sorted."""
        return self._found.keys

    def add(self, line: bytes) -> None:
        """Appends a line of `journal_line`.

        Raises:
            OSError: The file system refuses; nothing of the line is left then.
        """
        end = self._file.seek(0, os.SEEK_END)
        try:
            left = memoryview(line)
            while left:
                left = left[self._file.write(left) :]  # a full disk takes the beginning, and then refuses
        except OSError:
            self._file.truncate(end)
            raise
        if monotonic() - self._synced > _SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced = monotonic()

    def keep_unused(self, folder: Path) -> None:
        """Writes what earlier runs left and a result did not need beside the answers that it was made from.

        A run with ``--limit``, with another method, or while a disk is missing would else cost the answers of
        the run before it. Failures are not kept.

        Args:
            folder: Holds `ANSWERS_FILE`; gets `UNUSED_FILE`, if there are such answers.

        Raises:
            OSError: The file system refuses.
        """
        with (folder / ANSWERS_FILE).open("rb") as file:
            used = [key for key, _ in _scan(file, failed=True)]
        lines = self._found.others(np.array(used, dtype=np.uint64))
        first = next(lines, None)
        if first is not None:
            with (folder / UNUSED_FILE).open("xb") as file:
                file.write(first)
                file.writelines(lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._found.close()
        self._file.close()


def journal_line(key: str, fields: Mapping[str, Any]) -> bytes:
    """Returns a line of the journal.

    Args:
        key: The answer's key.
        fields: The answer; a failure has the field "failed" and no other but "image".
    """
    ordered = {"key": key, **{name: fields[name] for name in fields if name != "key"}}
    return json.dumps(ordered, separators=(",", ":"), allow_nan=False).encode() + b"\n"


class _Lines:
    """Where the lines of some files are, by key: 24 bytes of memory each."""

    def __init__(self, paths: Iterable[Path], *, failed: bool) -> None:
        self._files: list[BinaryIO] = []
        keys, places, sources = array("Q"), array("Q"), array("Q")
        for path in paths:
            file = path.open("rb")
            for key, place in _scan(file, failed=failed):
                keys.append(key)
                places.append(place)
                sources.append(len(self._files))
            self._files.append(file)
        unsorted = _numbers(keys)
        order = np.argsort(unsorted, kind="stable")
        self.keys = unsorted[order]
        self._places = _numbers(places)[order]
        self._sources = _numbers(sources)[order]

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, key: str) -> Mapping[str, Any] | None:
        number = np.uint64(int(key[:16], 16))
        first, last = (int(np.searchsorted(self.keys, number, side=side)) for side in ("left", "right"))
        for index in reversed(range(first, last)):  # what was written last holds
            file = self._files[int(self._sources[index])]
            file.seek(int(self._places[index]))
            fields = _parsed(file.readline())
            if fields is not None and fields.get("key") == key:
                return fields
        return None

    def others(self, keys: NDArray[np.uint64]) -> Iterator[bytes]:
        """Yields the last line of each key whose first half is not given, sorted by key, but no failures."""
        last = np.ones(len(self.keys), dtype=bool)
        last[:-1] = self.keys[1:] != self.keys[:-1]
        for index in np.flatnonzero(last & ~np.isin(self.keys, keys)):
            file = self._files[int(self._sources[index])]
            file.seek(int(self._places[index]))
            line = file.readline()
            if "failed" not in (_parsed(line) or {"failed": None}):
                yield line

    def close(self) -> None:
        for file in self._files:
            file.close()


def _scan(file: BinaryIO, *, failed: bool) -> Iterator[tuple[int, int]]:
    """Yields the first half of each line's key, and where the line begins."""
    place = 0
    for line in file:
        key = line[_KEY]
        # A failure has few fields, so its mark stands near the beginning of its line.
        if line.startswith(_HEAD) and line.endswith(b"\n") and (failed or not _is_failure(line)):
            with suppress(ValueError):  # no line of ours: what it was about is asked for again
                yield int(key[:16], 16), place
        place += len(line)


def _is_failure(line: bytes) -> bool:
    return _FAILED in line and "failed" in (_parsed(line) or {})


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        fields = json.loads(line, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError):
        return None  # damaged by whatever befell the disk
    return fields if isinstance(fields, dict) else None


def _finite(text: str) -> float:
    """Reads a number; what is none was never written, and could not be written again."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"a number must be finite, but got {text}")
    return value


def _numbers(values: array[int]) -> NDArray[np.uint64]:
    return np.frombuffer(values, dtype=np.uint64) if values else np.empty(0, dtype=np.uint64)


def _locked(file: Path) -> BinaryIO:
    stream = file.open("a+b", buffering=0)
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        stream.close()
        raise DatasetError(file, "another process is writing it; wait until it is done") from error
    return stream


def _cut_off(stream: BinaryIO) -> None:
    """Drops a last line without an end: the process died while it wrote it."""
    end = stream.seek(0, os.SEEK_END)
    start = end
    while start > 0:
        size = min(start, 1 << 16)
        stream.seek(start - size)
        block = stream.read(size)
        newline = block.rfind(b"\n")
        if newline >= 0:
            stream.truncate(start - size + newline + 1)
            return
        start -= size
    stream.truncate(0)
