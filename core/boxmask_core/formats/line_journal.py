"""Images on their way into one file: kept on disk and not in memory, read back in the order of their keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from boxmask_core.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class LineJournal:
    """One line of JSON per image in a hidden part file.

    Args:
        out: The folder. It is made if it is missing.
        name: The file that is going to be assembled; the part file is called after it.

    Raises:
        OSError: The file system refuses.
    """

    def __init__(self, out: Path, name: str) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self._path = out / f".{name}.part"
        self._file = self._path.open("w+b")
        self._offsets: dict[str, int] = {}

    def require_new(self, key: str) -> None:
        """Checks that an image comes for the first time.

        Raises:
            DatasetError: Its key was added before.
        """
        if key in self._offsets:
            raise DatasetError(key, "was written twice; keys must be unique")

    def add(self, key: str, fields: object) -> None:
        """Keeps what is written of one image.

        Raises:
            DatasetError: The key was added before.
            OSError: The file system refuses.
        """
        self.require_new(key)
        self._offsets[key] = self._file.seek(0, 2)
        self._file.write(compact_json(fields) + b"\n")

    def lines(self) -> Iterator[Any]:
        """Yields what was kept, by key."""
        for _, offset in sorted(self._offsets.items()):
            self._file.seek(offset)
            yield json.loads(self._file.readline())

    def discard(self) -> None:
        """Removes the part file."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def compact_json(fields: object) -> bytes:
    """Returns JSON without white space, in ASCII."""
    return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()


def separator(number: int) -> bytes:
    """Returns what stands before the ``number``-th entry of a JSON list, counted from 1."""
    return b"\n" if number == 1 else b",\n"
