"""What does not fit in memory while a dataset is read: a database on disk that nobody has to clean up."""

from __future__ import annotations

import sqlite3
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType


def scratch_database() -> sqlite3.Connection:
    """Returns an empty database in a file without a name, in the folder for temporary files.

    SQLite deletes the file as soon as it is open, so that it is gone with the process, however that ends. A
    small database never leaves memory. It may be used by any thread, by one at a time.
    """
    database = sqlite3.connect("", check_same_thread=False)
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    return database


def close_with(owner: object, database: sqlite3.Connection) -> None:
    """Closes the database when its owner is garbage."""
    weakref.finalize(owner, database.close)


class FirstHolders:
    """Who was the first to have a name, for any number of names.

    As a context manager it forgets them at the end.
    """

    def __init__(self) -> None:
        self._database = scratch_database()
        self._database.execute("CREATE TABLE holder (name BLOB PRIMARY KEY, who BLOB) WITHOUT ROWID")

    def of(self, name: str) -> str | None:
        """Returns who has the name, or None."""
        row = self._database.execute("SELECT who FROM holder WHERE name = ?", (text_bytes(name),)).fetchone()
        return None if row is None else _text(row[0])

    def claim(self, name: str, who: str) -> str | None:
        """Gives the name to ``who`` where nobody has it; returns who had it before, or None."""
        insert = "INSERT OR IGNORE INTO holder VALUES (?, ?)"
        is_new = self._database.execute(insert, (text_bytes(name), text_bytes(who))).rowcount == 1
        return None if is_new else self.of(name)

    def __enter__(self) -> FirstHolders:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._database.close()


def once_each(texts: Iterable[str]) -> Iterator[str]:
    """Yields each text where it comes first."""
    with FirstHolders() as seen:
        yield from (text for text in texts if seen.claim(text, "") is None)


def text_bytes(text: str) -> bytes:
    """Returns bytes that sort as Python sorts texts, by code points; lone surrogates are let through.

    File names need not be UTF-8, nor JSON strings Unicode.
    """
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
