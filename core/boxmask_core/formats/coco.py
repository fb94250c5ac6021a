"""COCO: boxes from JSON.

Boxes are ``[x, y, width, height]``, 0-based floats. Fields that COCO's definition asks for but that tools
leave out (``id``, ``iscrowd``, ``width``, ``height``) are read leniently; category ids may be sparse. The
file is read as a stream, so that its size does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError, InvalidBoxError
from boxmask_core.formats.annotated_boxes import shared_key, told_apart
from boxmask_core.formats.coco_index import CocoIndex
from boxmask_core.formats.image_places import common_folder, is_file
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.json_files import kind_of_json
from boxmask_core.formats.keys import key_of
from boxmask_core.formats.scratch import FirstHolders
from boxmask_core.instances import BoxIssue, Flags, ImageRecord, Instance

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_IMAGES_TO_TRY = 50
"""So many images are looked for in each folder where COCO's images might lie, for some may be missing."""


class CocoDataset:
    """The boxes of a COCO JSON file, or of a folder with ``annotations/*.json``.

    Args:
        path: The JSON file or the folder.
        split: In a folder, reads ``annotations/instances_SPLIT.json`` or ``annotations/SPLIT.json``; None
            reads every ``instances_*.json``, or every JSON file where none is called so.
        images: The folder that holds the images, or one called like the split, or ``images``, which does;
            None looks for it around the file.

    Raises:
        DatasetError: There is no such file, or it breaks the format.
    """

    def __init__(self, path: Path, *, split: str | None = None, images: Path | None = None) -> None:
        self._parts = tuple(_Part.load(file, images) for file in _annotation_files(path, split))
        folders = [part.images_folder for part in self._parts]
        self.image_root = reduce(common_folder, folders)
        names = (name for part in self._parts for name in part.index.categories.values())
        self.class_names = tuple(dict.fromkeys(names))
        self.notes = tuple(part.note for part in self._parts if part.note)

    @staticmethod
    def recognises(path: Path) -> bool:
        """Says whether ``path`` is a JSON file of COCO's, or a folder with ``annotations/*.json``."""
        files = [path] if path.suffix.lower() == ".json" else sorted((path / "annotations").glob("*.json"))
        return any(kind_of_json(file) == "other" for file in files)

    def __len__(self) -> int:
        return sum(len(part.index) for part in self._parts)

    def __iter__(self) -> Iterator[ImageRecord | RecordError]:
        with FirstHolders() as keys:
            for part in self._parts:
                with FirstHolders() as ids:
                    yield from (self._read(image, part, keys, ids) for image in part.index.images())

    def _read(
        self, image: Mapping[str, Any], part: _Part, keys: FirstHolders, ids: FirstHolders
    ) -> ImageRecord | RecordError:
        identity = image.get("id")
        try:
            record = part.record(image, self.image_root)
            if (other := keys.of(record.key)) is not None:
                raise DatasetError(part.file, shared_key(record.key, other, record.path.name))
            if (record.instances or record.issues) and part.index.sharing(image) > 1:
                problem = f"two images share the id {identity!r}, and whose its boxes are cannot be told"
                raise DatasetError(part.file, problem)
            if (other := ids.claim(repr(identity), record.path.name)) is not None:
                problem = f"two images share the id {identity!r}: {other} and {record.path.name}"
                raise DatasetError(part.file, problem)
        except DatasetError as error:
            return RecordError(str(image.get("file_name") or identity), part.file, error.problem)
        keys.claim(record.key, record.path.name)
        return record


@dataclass(frozen=True, slots=True)
class _Part:
    """One JSON file, and where its images lie."""

    index: CocoIndex
    images_folder: Path

    @classmethod
    def load(cls, file: Path, images: Path | None) -> _Part:
        index = CocoIndex(file)
        names = [str(image.get("file_name", "")) for image in index.images(_IMAGES_TO_TRY)]
        return cls(index, _images_folder(_places(file, images), names))

    @property
    def file(self) -> Path:
        return self.index.file

    @property
    def note(self) -> str:
        if not self.index.orphans:
            return ""
        return f"warning: {self.file}: {self.index.orphans} annotations name an image that is not listed"

    def record(self, image: Mapping[str, Any], root: Path) -> ImageRecord:
        name = str(image.get("file_name") or "")
        key_of(name, self.file)
        path = self.images_folder / name
        key = key_of(path.relative_to(root).as_posix(), self.file)
        read = enumerate(self.index.annotations(image))
        instances, issues = told_apart(
            _instance(annotation, index, self.index.categories) for index, annotation in read
        )
        return ImageRecord(key, path, instances, issues, _declared_size(image))


def _annotation_files(path: Path, split: str | None) -> list[Path]:
    if path.is_file():
        if split is not None:
            raise DatasetError(
                path, f"is a single file; pass its folder's parent to choose the split {split!r}"
            )
        return [path]
    folder = path / "annotations"
    found = sorted(folder.glob("*.json"))
    if not found:
        raise DatasetError(
            path, "there is no COCO dataset here: expected a JSON file or a folder annotations"
        )
    if split is None:
        return [file for file in found if file.name.startswith("instances_")] or found
    for name in (f"instances_{split}.json", f"{split}.json"):
        if (folder / name) in found:
            return [folder / name]
    known = [file.stem.removeprefix("instances_") for file in found]
    raise DatasetError(folder, f"there is no split {split!r}; expected one of {known}")


def _places(file: Path, images: Path | None) -> list[Path]:
    """Returns the customary folders of a file's images, the last of which is taken if none holds any."""
    split = file.stem.removeprefix("instances_")
    if images is not None:
        return [images / split, images / "images", images]
    base = file.parent.parent if file.parent.name == "annotations" else file.parent
    return [base / split, base / "images" / split, base / "images", base / "JPEGImages", base, file.parent]


def _images_folder(places: Sequence[Path], names: Sequence[str]) -> Path:
    """Returns the first folder that holds one of the images, else the first that exists."""
    folders = [folder for folder in places if folder.is_dir()] or [places[-1]]
    return next((folder for folder in folders if any(is_file(folder / name) for name in names)), folders[0])


def _instance(
    annotation: Mapping[str, Any], index: int, categories: Mapping[object, str]
) -> Instance | BoxIssue:
    identity = str(index if annotation.get("id") is None else annotation["id"])
    category, bbox = annotation.get("category_id"), annotation.get("bbox")
    name = categories.get(category) if isinstance(category, int | str) else None
    if name is None:
        return BoxIssue(identity, "", f"category_id {category!r} is not among the categories")
    if not isinstance(bbox, list) or len(bbox) != 4:
        return BoxIssue(identity, name, f"bbox must be four numbers, but got {bbox!r}")
    try:
        x, y, width, height = map(float, bbox)
        box = Box(x, y, x + width, y + height)
    except InvalidBoxError as error:
        return BoxIssue(identity, name, str(error))
    except (TypeError, ValueError, OverflowError):
        return BoxIssue(identity, name, f"bbox must be four numbers, but got {bbox!r}")
    return Instance(box, name, _flags(annotation), identity)


def _flags(annotation: Mapping[str, Any]) -> Flags:
    attributes = annotation.get("attributes")  # where CVAT and our own writer keep VOC's flags
    noted = attributes if isinstance(attributes, dict) else {}
    return Flags(
        difficult=bool(noted.get("difficult", False)),
        truncated=bool(noted.get("truncated", False)),
        occluded=bool(noted.get("occluded", False)),
        crowd=bool(annotation.get("iscrowd", 0)),
    )


def _declared_size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
        return width, height
    return None
