"""Open Images: boxes from a CSV file of all images.

A row is one box, ``XMin, XMax, YMin, YMax`` (in this order), normalised by the upright image's size, of the
class ``LabelName``, which ``class-descriptions*.csv`` gives a name to read. ``IsGroupOf`` is the flag crowd;
``IsOccluded`` and ``IsTruncated`` are theirs; -1 means that nobody looked. The file is read twice, with an
index of the rows of every image on disk between, so that its size does not matter.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from boxmask_core.errors import DatasetError
from boxmask_core.formats.annotated_boxes import four_numbers, read_box, told_apart, truth
from boxmask_core.formats.image_places import image_of_key, is_file, upright_size
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.keys import checked_key
from boxmask_core.formats.row_index import RowIndex
from boxmask_core.instances import BoxIssue, Flags, ImageRecord, Instance

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_REQUIRED = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")
_SPLITS = ("train", "validation", "test")
_SHOWN = 60
_LIST_ITEM_LIMIT = 10
_HEAD_BYTES = 4096


class OpenImagesDataset:
    """The boxes of an Open Images CSV file.

    Args:
        path: The CSV file, or a folder with one or several. The image ``ID.jpg`` lies beside it, or in a
            folder called ``SPLIT``, ``images/SPLIT``, ``images`` or ``data`` there.
        split: "train", "validation" or "test": the file with that word in its name; None where there is one
            file.
        images: The folder of the images; None for the customary ones.

    Raises:
        DatasetError: There is no such file, or several, or it lacks a column.
    """

    def __init__(self, path: Path, *, split: str | None = None, images: Path | None = None) -> None:
        self._file = _file(path, split)
        self._columns = _columns(self._file)
        descriptions = _descriptions(self._file.parent)
        self._index = RowIndex()
        labels = _filled(self._index, self._file, self._columns)
        self._names = {label: descriptions.get(label, label) for label in sorted(labels)}
        self.class_names = tuple(sorted(set(self._names.values())))
        self.image_root = images or _image_root(self._file, self._index.first())
        self.notes = _notes(self._names, descriptions)

    @staticmethod
    def recognises(path: Path) -> bool:
        """Says whether ``path`` is a CSV file of boxes, or a folder with one."""
        return bool(_files(path))

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[ImageRecord | RecordError]:
        with self._file.open("rb") as opened:
            for identity, runs in self._index:
                lines: list[bytes] = []
                for offset, count in runs:
                    opened.seek(offset)
                    lines += [opened.readline() for _ in range(count)]
                yield self._record(identity, lines)

    def _record(self, identity: str, lines: Sequence[bytes]) -> ImageRecord | RecordError:
        try:
            image = image_of_key(self.image_root, checked_key(identity, self._file))
            width, height = upright_size(image)
        except DatasetError as error:
            return RecordError(identity, self._file, f"{error.where}: {error.problem}")
        rows = [_fields(line, self._columns, self._file) for line in lines]
        instances, issues = told_apart(
            self._instance(row, str(index), width, height) for index, row in enumerate(rows)
        )
        return ImageRecord(identity, image, instances, issues)

    def _instance(self, row: Mapping[str, str], index: str, width: int, height: int) -> Instance | BoxIssue:
        texts = [row.get(column, "") for column in ("XMin", "YMin", "XMax", "YMax")]
        numbers = four_numbers(texts)
        corners = None
        if numbers is not None:
            corners = (numbers[0] * width, numbers[1] * height, numbers[2] * width, numbers[3] * height)
        flags = Flags(
            truncated=truth(row.get("IsTruncated")),
            occluded=truth(row.get("IsOccluded")),
            crowd=truth(row.get("IsGroupOf")),
        )
        name = self._names.get(row.get("LabelName", ""), "")
        expected = "numbers XMin, YMin, XMax, YMax"
        return read_box(corners, name, index, flags=flags, expected=expected, got=texts)


def _files(path: Path) -> list[Path]:
    files = [path] if path.is_file() else sorted(path.glob("*.csv"))
    return [file for file in files if file.suffix.lower() == ".csv" and _is_of_boxes(file)]


def _is_of_boxes(file: Path) -> bool:
    with file.open("rb") as opened:
        head = opened.read(_HEAD_BYTES).decode("utf-8-sig", errors="replace").splitlines()
    return bool(head) and set(_REQUIRED) <= set(next(csv.reader(head[:1]), []))


def _file(path: Path, split: str | None) -> Path:
    if path.is_file() and split is None:
        return path
    files = _files(path)
    if split is not None:
        files = [file for file in files if split in file.stem.split("-")]
    if not files:
        of_split = "" if split is None else f" of the split {split!r}"
        problem = f"there is no CSV file of boxes{of_split} here: expected the columns {', '.join(_REQUIRED)}"
        raise DatasetError(path, problem)
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise DatasetError(path, f"holds several CSV files of boxes, choose a split or name one: {names}")
    return files[0]


def _columns(file: Path) -> tuple[str, ...]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            columns = tuple(next(csv.reader(opened), ()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(file, f"cannot be read as CSV: {error}") from error
    if missing := [column for column in _REQUIRED if column not in columns]:
        raise DatasetError(file, f"lacks the columns {', '.join(missing)} of Open Images boxes")
    return columns


def _filled(index: RowIndex, file: Path, columns: Sequence[str]) -> frozenset[str]:
    """Notes every image's runs of rows in the index; returns all labels."""
    labels: set[str] = set()
    identity, start, count = "", 0, 0
    with file.open("rb") as opened:
        offset = len(opened.readline())
        for line in opened:
            row = _fields(line, columns, file)
            of = row.get("ImageID", "")
            if of != identity:
                index.add(identity, start, count)
                identity, start, count = of, offset, 0
            count += 1
            if of:
                labels.add(row.get("LabelName", ""))
            offset += len(line)
    index.add(identity, start, count)
    index.complete()
    return frozenset(labels - {""})


def _fields(line: bytes, columns: Sequence[str], file: Path) -> Mapping[str, str]:
    text = line.decode("utf-8", errors="replace").rstrip("\r\n")
    try:
        values = next(csv.reader([text]), [])
    except csv.Error as error:
        raise DatasetError(file, f"the line {text[:_SHOWN]!r} cannot be read as CSV: {error}") from error
    return dict(zip(columns, values, strict=False))


def _descriptions(folder: Path) -> Mapping[str, str]:
    """Reads the names of labels from the ``class-descriptions*.csv`` beside the file, or above it."""
    found = [
        file for place in (folder, folder.parent) for file in sorted(place.glob("*class-descriptions*.csv"))
    ]
    names: dict[str, str] = {}
    for file in found[:1]:
        try:
            with file.open(encoding="utf-8-sig", newline="") as opened:
                names.update({row[0]: row[1] for row in csv.reader(opened) if len(row) > 1})
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DatasetError(file, f"cannot be read as CSV: {error}") from error
    return names


def _image_root(file: Path, identity: str) -> Path:
    """Returns the first of the customary folders that holds the first image, else the first that exists."""
    base = file.parent
    split = next((name for name in _SPLITS if name in file.stem.split("-")), "")
    places = [base / split, base / "images" / split, base / "images", base / "data", base]
    folders = [folder for folder in places if folder.is_dir() and folder != base] + [base]
    holding = (folder for folder in folders if identity and is_file(image_of_key(folder, identity)))
    return next(holding, folders[0])


def _notes(names: Mapping[str, str], descriptions: Mapping[str, str]) -> tuple[str, ...]:
    nameless = [label for label in names if label not in descriptions]
    if not nameless:
        return ()
    listed = ", ".join(nameless[:_LIST_ITEM_LIMIT]) + (", ..." if len(nameless) > _LIST_ITEM_LIMIT else "")
    problem = f"{len(nameless)} labels are not in class-descriptions*.csv and keep their codes"
    return (f"warning: {problem}: {listed}",)
