"""Images on their way into one file: kept on disk and not in memory, read back in the order of their keys."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from boxmask_core.errors import DatasetError
from boxmask_core.formats.scratch import text_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_SCRATCH = (
    "PRAGMA journal_mode = OFF",  # the file is thrown away whenever the process dies
    "PRAGMA synchronous = OFF",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA cache_size = -4096",  # 4 MiB, whatever the number of images
    # Lines lie in the order of their coming and an index leads to them: long lines as a part of the index
    # would be moved about while it grows.
    "CREATE TABLE lines (key BLOB PRIMARY KEY, line BLOB NOT NULL)",
    "BEGIN",
)


class LineJournal:
    """One line of JSON per image in a hidden part file, a scratch SQLite database.

    Args:
        out: The folder. It is made if it is missing.
        name: The file that is going to be assembled; the part file is called after it.

    Raises:
        OSError: The file system refuses.
    """

    def __init__(self, out: Path, name: str) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self._path = out / f".{name}.part"
        self._path.unlink(missing_ok=True)
        # Nobody else opens the file, and not every file system that is reached over a network has locks.
        place = f"{self._path.absolute().as_uri()}?nolock=1"
        with self._as_os_errors():
            self._lines = sqlite3.connect(place, uri=True, isolation_level=None, check_same_thread=False)
            for statement in _SCRATCH:
                self._lines.execute(statement)

    def require_new(self, key: str) -> None:
        """Checks that an image comes for the first time.

        Raises:
            DatasetError: Its key was added before.
        """
        with self._as_os_errors():
            found = self._lines.execute("SELECT 1 FROM lines WHERE key = ?", (text_bytes(key),)).fetchone()
        if found is not None:
            raise DatasetError(key, "was written twice; keys must be unique")

    def add(self, key: str, fields: object) -> None:
        """Keeps what is written of one image.

        Raises:
            DatasetError: The key was added before.
            OSError: The file system refuses.
        """
        self._insert(key, compact_json(fields))

    def add_objects(self, key: str, objects: Iterable[object]) -> None:
        """Keeps what is written of one image as several JSON objects, for `objects`.

        Raises:
            DatasetError: The key was added before.
            OSError: The file system refuses.
        """
        self._insert(key, b"\n".join(map(compact_json, objects)))

    def objects(self) -> Iterator[list[bytes]]:
        """Yields the objects of each image, by key, as they were encoded: what only gets an id is not parsed.

        Raises:
            OSError: The file system refuses.
        """
        for line in self._sorted():
            yield line.split(b"\n")

    def lines(self) -> Iterator[Any]:
        """Yields what was kept, by key.

        Raises:
            OSError: The file system refuses.
        """
        for line in self._sorted():
            yield json.loads(line)

    def discard(self) -> None:
        """Removes the part file."""
        self._lines.close()
        self._path.unlink(missing_ok=True)

    def _insert(self, key: str, line: bytes) -> None:
        self.require_new(key)
        with self._as_os_errors():
            self._lines.execute("INSERT INTO lines VALUES (?, ?)", (text_bytes(key), line))

    def _sorted(self) -> Iterator[bytes]:
        with (
            self._as_os_errors(),
            closing(self._lines.execute("SELECT line FROM lines ORDER BY key")) as rows,
        ):
            for (line,) in rows:
                yield line

    @contextmanager
    def _as_os_errors(self) -> Iterator[None]:
        """Lets a full disk look here as it does everywhere else."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise OSError(f"{self._path} cannot be written or read: {error}") from error


def compact_json(fields: object) -> bytes:
    """Returns JSON without white space, in ASCII."""
    return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()


def with_ids(encoded: bytes, **ids: int) -> bytes:
    """Returns an encoded JSON object, which is not empty, with ids before its own fields."""
    return compact_json(ids)[:-1] + b"," + encoded[1:]


def separator(number: int) -> bytes:
    """Returns what stands before the ``number``-th entry of a JSON list, counted from 1."""
    return b"\n" if number == 1 else b",\n"
