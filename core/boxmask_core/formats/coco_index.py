"""A COCO file with its annotations joined to its images, on disk, so that its size does not matter.

COCO keeps all images in one list and all annotations in another, in any order, so that the annotations of an
image must be looked up.
"""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

from boxmask_core.errors import DatasetError
from boxmask_core.formats.json_items import ListStart, json_items
from boxmask_core.formats.scratch import close_with, scratch_database

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_IMAGE_FIELDS = ("id", "file_name", "width", "height")
_ANNOTATION_FIELDS = ("id", "category_id", "bbox", "iscrowd", "attributes")
_UNREAD = ("segmentation", "keypoints")
_LISTS = frozenset({"images", "annotations", "categories"})
_LARGEST = 1 << 63
_TABLES = """
CREATE TABLE image (place INTEGER PRIMARY KEY, id, fields TEXT);
CREATE TABLE annotation (place INTEGER PRIMARY KEY, image, fields TEXT);
"""
_INDICES = """
CREATE INDEX image_id ON image (id);
CREATE INDEX annotation_image ON annotation (image);
"""
_ORPHANS = """
SELECT count(*) FROM annotation WHERE NOT EXISTS (SELECT 1 FROM image WHERE image.id = annotation.image)
"""


class CocoIndex:
    """The images of a COCO file in its order, each with its annotations in the file's order.

    Args:
        file: The JSON file.

    Attributes:
        file: The same.
        categories: Class names by category id, in the file's order.
        orphans: Number of annotations whose image is not listed.

    Raises:
        DatasetError: The file is missing, is no JSON or breaks the format.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.categories: dict[object, str] = {}
        self._database = scratch_database()
        close_with(self, self._database)
        try:
            self._database.executescript(_TABLES)
            self._read()
            self._database.executescript(_INDICES)
            self.orphans = self._number(_ORPHANS)
            self._count = self._number("SELECT count(*) FROM image")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DatasetError(file, f"lacks or breaks the COCO field {error}") from error
        except sqlite3.Error as error:
            remedy = "free space in the folder for temporary files, or name another by TMPDIR"
            raise DatasetError(file, f"cannot be indexed: {error}; {remedy}") from error

    def __len__(self) -> int:
        return self._count

    def images(self, limit: int = -1) -> Iterator[Mapping[str, Any]]:
        """Yields the fields that COCO defines of every image.

        Args:
            limit: How many at most; -1 for all.
        """
        rows = self._database.execute("SELECT fields FROM image ORDER BY place LIMIT ?", (limit,))
        yield from (json.loads(fields) for (fields,) in rows)

    def annotations(self, image: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Returns the fields of an image's annotations that a reader of boxes needs."""
        query = "SELECT fields FROM annotation WHERE image = ? ORDER BY place"
        return [json.loads(fields) for (fields,) in self._database.execute(query, (_id(image.get("id")),))]

    def sharing(self, image: Mapping[str, Any]) -> int:
        """Returns how many images have the id of an image, itself included."""
        query = "SELECT count(*) FROM image WHERE id = ?"
        return int(self._database.execute(query, (_id(image.get("id")),)).fetchone()[0])

    def _read(self) -> None:
        lists = set()
        for field, value in json_items(self.file, without=_UNREAD):
            if field is None:
                kind = "list" if value is ListStart.LIST else type(value).__name__
                raise DatasetError(self.file, f"must hold a JSON object, but got {kind}")
            if field not in _LISTS:
                continue
            if value is ListStart.LIST:
                lists.add(field)
            elif field not in lists:
                raise TypeError(f"{field!r}: must be a list, but got {type(value).__name__}")
            elif field == "images":
                image = dict(value)
                self._insert("image", _id(image.get("id")), _kept(image, _IMAGE_FIELDS))
            elif field == "annotations":
                self._insert("annotation", _id(value["image_id"]), _kept(value, _ANNOTATION_FIELDS))
            else:
                self.categories[value["id"]] = str(value["name"])
        if "images" not in lists:
            raise KeyError("images")
        self._database.commit()

    def _number(self, query: str) -> int:
        return int(self._database.execute(query).fetchone()[0])

    def _insert(self, table: str, identity: int | str, fields: str) -> None:
        self._database.execute(f"INSERT INTO {table} VALUES (NULL, ?, ?)", (identity, fields))


def _id(identity: object) -> int | str:
    """Returns what is equal in SQL where ids are equal in Python; an id is a number, a text or missing."""
    hash(identity)  # lists and objects are no ids
    if isinstance(identity, float) and identity.is_integer():
        identity = int(identity)
    if isinstance(identity, int) and -_LARGEST <= identity < _LARGEST:
        return int(identity)
    return json.dumps(identity)


def _kept(fields: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return json.dumps({name: fields[name] for name in names if name in fields})
