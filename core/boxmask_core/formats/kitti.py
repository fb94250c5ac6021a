"""KITTI: boxes from ``label_2/KEY.txt`` beside ``image_2/KEY.png``.

A line is ``type truncated occluded alpha left top right bottom`` and seven numbers of the third dimension,
with a score at the end of detections. Edges are 0-based floats. ``DontCare`` marks regions that were not
annotated: they are left out and counted. ``truncated`` is a share of the object, set where it is positive;
``occluded`` is 0 no, 1 partly, 2 largely, 3 unknown, which is not noted.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from boxmask_core.errors import DatasetError
from boxmask_core.formats.annotated_boxes import four_numbers, read_box, told_apart
from boxmask_core.formats.file_tree import files_below
from boxmask_core.formats.image_places import image_of_key
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.keys import listed_keys
from boxmask_core.formats.packed_strings import PackedStrings
from boxmask_core.instances import BoxIssue, Flags, ImageRecord, Instance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_LABELS = "label_2"
_IMAGES = "image_2"
_DONT_CARE = "DontCare"
_FIELDS = (15, 16)
_OCCLUDED = frozenset({1.0, 2.0})


class KittiDataset:
    """The boxes of a KITTI folder.

    Args:
        path: The folder with ``label_2`` and ``image_2``, or its parent where they lie in ``training``.
        split: Reads the keys that ``ImageSets/SPLIT.txt`` lists, in the folder or beside it; None reads every
            label file.
        images: The folder of the images; None for ``image_2``.

    Raises:
        DatasetError: There is no such folder or list.
    """

    def __init__(self, path: Path, *, split: str | None = None, images: Path | None = None) -> None:
        root = _root(path)
        if root is None:
            raise DatasetError(path, f"there is no KITTI folder here: expected a folder {_LABELS}")
        self._labels = root / _LABELS
        self.image_root = images or root / _IMAGES
        keys = _all_keys(self._labels) if split is None else listed_keys(_list(root, split))
        self._keys = PackedStrings(keys)
        kinds = _kinds(self._labels, self._keys)
        ignored = kinds.pop(_DONT_CARE, 0)
        self.class_names = tuple(sorted(kinds))
        self.notes = (f"{ignored} regions of type {_DONT_CARE} are left out",) if ignored else ()

    @staticmethod
    def recognises(path: Path) -> bool:
        """Says whether ``label_2`` lies at ``path`` or in its folder ``training``."""
        return _root(path) is not None

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[ImageRecord | RecordError]:
        for key in self._keys:
            file = self._labels / f"{key}.txt"
            try:
                lines = _lines(file)
            except DatasetError as error:
                yield RecordError(key, file, error.problem)
                continue
            read = [_instance(line, str(index)) for index, line in enumerate(lines)]
            instances, issues = told_apart(entry for entry in read if entry is not None)
            yield ImageRecord(key, image_of_key(self.image_root, key), instances, issues)


def _root(path: Path) -> Path | None:
    return next((folder for folder in (path, path / "training") if (folder / _LABELS).is_dir()), None)


def _list(root: Path, split: str) -> Path:
    folders = (root / "ImageSets", root.parent / "ImageSets")
    found = [file for folder in folders if (file := folder / f"{split}.txt").is_file()]
    if not found:
        known = sorted({file.stem for folder in folders for file in folder.glob("*.txt")})
        raise DatasetError(root, f"there is no ImageSets/{split}.txt; expected one of {known}")
    return found[0]


def _all_keys(folder: Path) -> Iterator[str]:
    return (name.removesuffix(".txt") for name in files_below(folder, (".txt",)))


def _kinds(labels: Path, keys: Iterable[str]) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for key in keys:
        try:
            kinds.update(line.split()[0] for line in _lines(labels / f"{key}.txt"))
        except DatasetError:
            continue  # reported when the dataset is read
    return kinds


def _lines(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError as error:
        raise DatasetError(file, "the label file is missing") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(file, f"the label file cannot be read: {error}") from error


def _instance(line: str, index: str) -> Instance | BoxIssue | None:
    name, *fields = line.split()
    if name == _DONT_CARE:
        return None
    try:
        truncated, occluded = map(float, fields[:2])
    except ValueError:
        truncated, occluded = 0.0, 0.0
    if len(fields) + 1 not in _FIELDS:
        return BoxIssue(index, name, f"expected 15 fields, or 16 with a score, but got {line!r}")
    flags = Flags(truncated=truncated > 0, occluded=occluded in _OCCLUDED)
    corners = four_numbers(fields[3:7])
    return read_box(corners, name, index, flags=flags, expected="numbers left, top, right, bottom", got=line)
