"""Which rows of a file belong to which image, on disk: rows of one image need not stand together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxmask_core.formats.scratch import close_with, scratch_database

if TYPE_CHECKING:
    from collections.abc import Iterator

_TABLE = "CREATE TABLE run (place INTEGER PRIMARY KEY, image TEXT, start INTEGER, rows INTEGER)"
_INDEX = "CREATE INDEX run_image ON run (image)"
_FIRST_PLACES = "SELECT min(place) AS first, image FROM run GROUP BY image ORDER BY first"
_RUNS = "SELECT start, rows FROM run WHERE image = ? ORDER BY place"


class RowIndex:
    """Runs of rows by image, in the order in which the images come first."""

    def __init__(self) -> None:
        self._database = scratch_database()
        close_with(self, self._database)
        self._database.execute(_TABLE)
        self._count = 0

    def add(self, image: str, start: int, rows: int) -> None:
        """Notes rows that stand together.

        Args:
            image: Whose they are; rows of no image, "", are left out.
            start: Where the first begins, bytes.
            rows: How many there are.
        """
        if image and rows:
            self._database.execute("INSERT INTO run VALUES (NULL, ?, ?, ?)", (image, start, rows))

    def complete(self) -> None:
        """Ends the notes; from then on the index can be read."""
        self._database.execute(_INDEX)
        self._database.commit()
        ((self._count,),) = self._database.execute("SELECT count(DISTINCT image) FROM run")

    def first(self) -> str:
        """Returns the first image, or nothing where there is none."""
        row = self._database.execute("SELECT image FROM run ORDER BY place LIMIT 1").fetchone()
        return str(row[0]) if row else ""

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[str, list[tuple[int, int]]]]:
        """Yields every image with its runs: where the first row begins, bytes, and how many there are."""
        for _, image in self._database.execute(_FIRST_PLACES):
            yield image, self._database.execute(_RUNS, (image,)).fetchall()
