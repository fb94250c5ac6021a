"""Hugging Face's ``imagefolder``: boxes from ``metadata.jsonl``, ``metadata.csv`` or ``metadata.parquet``.

A row has ``file_name``, relative to the metadata file, and ``objects``: lists side by side, ``bbox`` of
``[x, y, width, height]`` in 0-based pixels and ``category`` or ``categories`` (``label``, ``labels``) of
names or indices, or one list of objects with those fields. Further lists ``id``, ``difficult``,
``truncated``, ``occluded`` and ``crowd`` or ``iscrowd`` are read where they are. Indices take their names
from the features that the datasets library notes in Parquet files; elsewhere the index is the name. In CSV,
``objects`` is JSON.
"""

from __future__ import annotations

import csv
import json
from os.path import commonpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boxmask_core.errors import DatasetError
from boxmask_core.formats.annotated_boxes import distinct, four_numbers, named_flags, read_box, told_apart
from boxmask_core.formats.image_places import portable
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.keys import key_of
from boxmask_core.formats.parquet_files import parquet_metadata, parquet_rows
from boxmask_core.instances import BoxIssue, ImageRecord, Instance

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_NAMES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_COLUMNS = ("file_name", "objects", "width", "height")
_CATEGORIES = ("category", "categories", "label", "labels", "category_id")
_EXPECTED = "numbers [x, y, width, height]"


class ImageFolderDataset:
    """The boxes of an ``imagefolder`` dataset.

    Args:
        path: A metadata file, or a folder with some: its own, else those of its sub-folders (the splits).
        split: Name of a sub-folder; None reads everything.
        images: The folder that stands for that of the metadata file, or of all of them; None for just that.

    Raises:
        DatasetError: There is no metadata file, or it breaks the format.
        MissingExtraError: It is Parquet, and pyarrow is not installed.
    """

    def __init__(self, path: Path, *, split: str | None = None, images: Path | None = None) -> None:
        self._files = _files(path, split)
        self._root = Path(commonpath([file.parent for file in self._files]))
        self.image_root = images or self._root
        self._names = {file: _feature_names(file) for file in self._files}
        self._count = without_objects = 0
        names: set[str] = set()
        numbered = False
        for file in self._files:
            for row in _rows(file):
                self._count += 1
                without_objects += row.get("objects") is None
                categories = [_category(entry) for entry in _objects(row) or []]
                numbered = numbered or any(isinstance(c, int) for c in categories if not self._names[file])
                names.update(_class_name(category, self._names[file]) for category in categories)
        declared = (name for known in self._names.values() for name in known)
        self.class_names = tuple(dict.fromkeys([*declared, *sorted(names - {""})]))
        notes = {
            "classes are numbers without names; the number is the name": numbered,
            f"{without_objects} images have no field objects, and no boxes": without_objects > 0,
        }
        self.notes = tuple(note for note, holds in notes.items() if holds)

    @staticmethod
    def recognises(path: Path) -> bool:
        """Says whether ``path`` is a metadata file, or a folder with some of its own or one level below."""
        if path.is_file():
            return path.name in _NAMES
        return any(any(path.glob(pattern)) for name in _NAMES for pattern in (name, f"*/{name}"))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[ImageRecord | RecordError]:
        return distinct(self._records(), self.image_root)

    def _records(self) -> Iterator[ImageRecord | RecordError]:
        for file in self._files:
            for number, row in enumerate(_rows(file)):
                yield self._record(file, number, row)

    def _record(self, file: Path, number: int, row: Mapping[str, Any]) -> ImageRecord | RecordError:
        name = row.get("file_name")
        try:
            if not isinstance(name, str):
                problem = f"row {number} has no file_name; save images that are inside the file beside it"
                raise DatasetError(file, problem)
            key_of(portable(name), file)
            path = self.image_root / file.parent.relative_to(self._root) / portable(name)
            key = key_of(path.relative_to(self.image_root).as_posix(), file)
            entries = _objects(row)
            if entries is None:
                raise DatasetError(
                    file, f"objects must be lists of equal length, but got {row.get('objects')!r}"
                )
        except DatasetError as error:
            return RecordError(name if isinstance(name, str) else f"row {number}", file, error.problem)
        names = self._names[file]
        instances, issues = told_apart(
            _instance(entry, str(index), names) for index, entry in enumerate(entries)
        )
        return ImageRecord(key, path, instances, issues, _declared_size(row))


def _files(path: Path, split: str | None) -> tuple[Path, ...]:
    if path.is_file():
        if split is not None:
            raise DatasetError(path, f"is a single file and has no split {split!r}; pass its folder")
        return (path,)
    folder = path if split is None else path / split
    for pattern in ("", "*/"):
        found = [file for name in _NAMES for file in sorted(folder.glob(pattern + name))]
        if found:
            taken = {file.parent: file for file in reversed(found)}  # one a folder, JSON Lines first
            return tuple(file for _, file in sorted(taken.items()))
    expected = " or ".join(_NAMES)
    raise DatasetError(folder, f"there is no imagefolder dataset here: expected {expected}")


def _rows(file: Path) -> Iterator[Mapping[str, Any]]:
    """Yields the rows of a metadata file as a stream; what cannot be read raises `DatasetError`."""
    if file.suffix.lower() == ".parquet":
        yield from parquet_rows(file, _COLUMNS)
        return
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            if file.suffix.lower() == ".csv":
                yield from map(_csv_row, csv.DictReader(opened))
                return
            for number, line in enumerate(opened, start=1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise DatasetError(file, f"line {number} must hold a JSON object")
                    yield row
    except (OSError, UnicodeDecodeError, csv.Error, ValueError, RecursionError) as error:
        raise DatasetError(file, f"cannot be read as {file.suffix[1:]}: {error}") from error


def _csv_row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    text = row.get("objects")
    return {**row, "objects": json.loads(text) if text else None}


def _objects(row: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """Returns one mapping per object, or None where the lists do not fit together."""
    objects = row.get("objects")
    if objects is None:
        return []
    if isinstance(objects, list):
        return objects if all(isinstance(entry, dict) for entry in objects) else None
    if not isinstance(objects, dict):
        return None
    columns = {name: values for name, values in objects.items() if isinstance(values, list)}
    if "bbox" not in columns or any(len(values) != len(columns["bbox"]) for values in columns.values()):
        return None
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _category(entry: Mapping[str, Any]) -> object:
    return next((entry[field] for field in _CATEGORIES if field in entry), None)


def _class_name(category: object, names: Sequence[str]) -> str:
    if isinstance(category, bool) or not isinstance(category, int | str):
        return ""
    if isinstance(category, str) or not names:
        return str(category)
    return names[category] if 0 <= category < len(names) else ""


def _instance(entry: Mapping[str, Any], index: str, names: Sequence[str]) -> Instance | BoxIssue:
    identity = index if entry.get("id") is None else str(entry["id"])
    category = _category(entry)
    name = _class_name(category, names)
    if not name:
        return BoxIssue(identity, "", f"category {category!r} is no name and no index of one")
    numbers = four_numbers(entry.get("bbox"))
    corners = None
    if numbers is not None:
        x, y, width, height = numbers
        corners = (x, y, x + width, y + height)
    flags = named_flags(entry)
    return read_box(corners, name, identity, flags=flags, expected=_EXPECTED, got=entry.get("bbox"))


def _declared_size(row: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = row.get("width"), row.get("height")
    if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
        return width, height
    return None


def _feature_names(file: Path) -> tuple[str, ...]:
    """Returns the class names that the datasets library notes in a Parquet file, if it does."""
    if file.suffix.lower() != ".parquet":
        return ()
    try:
        noted = json.loads(parquet_metadata(file).get(b"huggingface", b"{}"))
        objects = noted["info"]["features"]["objects"]
    except (ValueError, KeyError, TypeError):
        return ()
    return _names_within(objects)


def _names_within(feature: object) -> tuple[str, ...]:
    """Returns the names of the first ``ClassLabel`` in a feature, however lists and structs are nested."""
    if isinstance(feature, list):
        feature = dict(enumerate(feature))
    if not isinstance(feature, dict):
        return ()
    if feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
        return tuple(map(str, feature["names"]))
    return next((names for value in feature.values() if (names := _names_within(value))), ())
