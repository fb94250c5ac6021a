"""LabelMe: boxes from one JSON file per image.

A rectangle has two corners in any order, 0-based float edges, and may lie partly outside the image. Its
flags are those of the shape that are called ``difficult``, ``truncated``, ``occluded`` or ``crowd``.
``group_id`` joins shapes of one object; each rectangle stays an object of its own, and the notes tell how
many have one. Shapes that are no rectangles are left out and counted.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from boxmask_core.errors import DatasetError
from boxmask_core.formats.annotated_boxes import (
    distinct,
    four_numbers,
    named_flags,
    read_box,
    told_apart,
)
from boxmask_core.formats.file_tree import files_below
from boxmask_core.formats.image_places import (
    base_name,
    common_folder,
    first_file,
    image_of_key,
    normal,
    portable,
)
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.json_files import kind_of_json, load_json
from boxmask_core.formats.keys import key_of
from boxmask_core.formats.packed_strings import PackedStrings
from boxmask_core.instances import BoxIssue, ImageRecord, Instance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_TURNED_SHAPES = frozenset({"rotation", "oriented_rectangle"})
_UNREAD = ("imageData", "mask")
_EXPECTED = "a rectangle of two points [x, y]"


class LabelmeDataset:
    """The boxes of a folder of LabelMe files, or of one file.

    Args:
        path: The folder, searched with its sub-folders, or a JSON file.
        split: Name of a sub-folder, or None for everything.
        images: The folder that takes the place of the one that holds all images; None for just that.

    Raises:
        DatasetError: There is no such folder, or no LabelMe file in it.
    """

    def __init__(self, path: Path, *, split: str | None = None, images: Path | None = None) -> None:
        folder, names = _files(path, split)
        self._folder = folder
        self._names = PackedStrings(names)
        self._fence = normal(path.absolute()).parent
        survey = _Survey.of((folder / name for name in self._names), self._fence)
        self.class_names = tuple(sorted(survey.names))
        self._root = survey.root or folder
        self.image_root = images or self._root
        self.notes = survey.notes()

    @staticmethod
    def recognises(path: Path) -> bool:
        """Says whether ``path`` is a LabelMe file, or a folder (or its sub-folders) that begins with one."""
        found = [path] if path.is_file() else sorted(path.glob("*.json")) or sorted(path.glob("*/*.json"))
        first = next(iter(found), None)
        return first is not None and first.suffix.lower() == ".json" and kind_of_json(first) == "labelme"

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[ImageRecord | RecordError]:
        return distinct((self._record(self._folder / name) for name in self._names), self.image_root)

    def _record(self, file: Path) -> ImageRecord | RecordError:
        try:
            content = _load(file)
            name = _image(file, content, self._fence).relative_to(self._root)
            key = key_of(name.as_posix(), file)
        except DatasetError as error:
            return RecordError(file.stem, file, error.problem)
        shapes = enumerate(content["shapes"])
        read = [box for index, shape in shapes if (box := _instance(shape, str(index))) is not None]
        instances, issues = told_apart(read)
        return ImageRecord(key, self.image_root / name, instances, issues, _declared_size(content))


@dataclass(frozen=True, slots=True)
class _Survey:
    """What one pass over the files tells."""

    root: Path | None
    names: frozenset[str]
    left_out: Mapping[str, int]
    grouped: int

    @classmethod
    def of(cls, files: Iterable[Path], fence: Path) -> _Survey:
        root: Path | None = None
        names: set[str] = set()
        left_out: Counter[str] = Counter()
        grouped = 0
        for file in files:
            try:
                content = _load(file)
            except DatasetError:
                root = common_folder(root, file.parent)
                continue  # reported when the dataset is read
            root = common_folder(root, _image(file, content, fence).parent)
            for shape in content["shapes"]:
                kind = _kind(shape)
                if kind == "rectangle" or kind in _TURNED_SHAPES:
                    names.update([shape["label"]] if isinstance(shape.get("label"), str) else [])
                    grouped += shape.get("group_id") is not None
                else:
                    left_out[kind] += 1
        return cls(root, frozenset(names - {""}), left_out, grouped)

    def notes(self) -> tuple[str, ...]:
        notes = []
        if self.left_out:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.left_out.items()))
            notes.append(f"shapes that are no rectangles are left out: {kinds}")
        if self.grouped:
            notes.append(f"{self.grouped} rectangles have a group_id; each is read as an object of its own")
        return tuple(notes)


def _files(path: Path, split: str | None) -> tuple[Path, Iterable[str]]:
    """Returns an absolute folder, and the paths of LabelMe's files relative to it."""
    if path.is_file():
        if split is not None:
            raise DatasetError(path, f"is a single file and has no split {split!r}; pass its folder")
        return normal(path.absolute()).parent, [path.name]
    folder = path if split is None else path / split
    if not folder.is_dir():
        known = sorted(entry.name for entry in path.glob("*") if entry.is_dir())
        raise DatasetError(path, f"there is no split {split!r}; expected one of the sub-folders {known}")
    names = (name for name in files_below(folder, (".json",)) if kind_of_json(folder / name) != "list")
    first = next(names, None)
    if first is None:
        raise DatasetError(folder, "there is no LabelMe file here: expected KEY.json with the field shapes")
    return normal(folder.absolute()), chain([first], names)


def _load(file: Path) -> Mapping[str, Any]:
    content = load_json(file, without=_UNREAD)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise DatasetError(file, "must hold a JSON object with a list shapes")
    return content


def _image(file: Path, content: Mapping[str, Any], fence: Path) -> Path:
    """Returns the image that a file names, else the one that is called like the file.

    ``imagePath`` is relative to the file, but often written on another machine: what leads out of the
    dataset's surroundings is looked for by its name alone.
    """
    name = content.get("imagePath")
    if not isinstance(name, str) or not name or "\0" in name:
        return image_of_key(file.parent, file.stem)
    named = normal(file.parent / portable(name))
    beside = file.parent / (base_name(name) or file.stem)
    inside = [named] if named.is_relative_to(fence) else []
    stem = image_of_key(file.parent, file.stem)
    return first_file([*inside, beside, stem]) or (inside or [beside])[0]


def _kind(shape: object) -> str:
    kind = shape.get("shape_type", "polygon") if isinstance(shape, dict) else "broken"
    return kind if isinstance(kind, str) else "broken"


def _instance(shape: Any, index: str) -> Instance | BoxIssue | None:
    kind = _kind(shape)
    if kind != "rectangle" and kind not in _TURNED_SHAPES:
        return None
    label, points = shape.get("label"), shape.get("points")
    name = label if isinstance(label, str) else ""
    if kind in _TURNED_SHAPES:
        return BoxIssue(index, name, f"a {kind} is a rotated box, and boxes must be upright; draw it upright")
    noted = shape.get("flags")
    flags = named_flags({"difficult": shape.get("difficult"), **(noted if isinstance(noted, dict) else {})})
    corners = _corners(points)
    if corners == "turned":
        return BoxIssue(index, name, "the rectangle's four points form no upright box; draw it upright")
    return read_box(corners, name, index, flags=flags, expected=_EXPECTED, got=points)


def _corners(points: Any) -> tuple[float, float, float, float] | Literal["turned"] | None:
    """Returns x0, y0, x1, y1 of two corners in any order, or of four that form an upright box."""
    if not isinstance(points, list) or len(points) not in {2, 4}:
        return None
    if any(not isinstance(point, list) or len(point) != 2 for point in points):
        return None
    numbers = four_numbers([*points[0], *points[len(points) // 2]])
    if numbers is None:
        return None
    ax, ay, bx, by = numbers
    if not all(map(math.isfinite, numbers)):
        return numbers  # as they are, to be reported: min and max drop NaN
    if len(points) == 4:  # as X-AnyLabeling writes rectangles
        corners = [[ax, ay], [bx, ay], [bx, by], [ax, by]]
        if points not in (corners, [corners[0], corners[3], corners[2], corners[1]]):
            return "turned"
    return min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)


def _declared_size(content: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = content.get("imageWidth"), content.get("imageHeight")
    if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
        return width, height
    return None
