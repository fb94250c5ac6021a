"""COCO: boxes from JSON.

Boxes are ``[x, y, width, height]``, 0-based floats. Fields that COCO's definition asks for but that tools
leave out (``id``, ``iscrowd``, ``width``, ``height``) are read leniently; category ids may be sparse.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from os.path import commonpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError, InvalidBoxError
from boxmask_core.formats.image_places import is_file
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.json_files import kind_of_json, load_json
from boxmask_core.formats.keys import key_of
from boxmask_core.instances import BoxIssue, Flags, ImageRecord, Instance

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_IMAGES_TO_TRY = 50
"""So many images are looked for in each folder where COCO's images might lie, for some may be missing."""


class CocoDataset:
    """The boxes of a COCO JSON file, or of a folder with ``annotations/*.json``.

    Args:
        path: The JSON file or the folder.
        split: In a folder, reads ``annotations/instances_SPLIT.json`` or ``annotations/SPLIT.json``; None
            reads every ``instances_*.json``, or every JSON file where none is called so.

    Raises:
        DatasetError: There is no such file, or it breaks the format.
    """

    def __init__(self, path: Path, *, split: str | None = None) -> None:
        self._parts = tuple(_Part.load(file) for file in _annotation_files(path, split))
        self.image_root = Path(commonpath([part.images_folder for part in self._parts]))
        names = (name for part in self._parts for name in part.categories.values())
        self.class_names = tuple(dict.fromkeys(names))
        self.notes = tuple(part.note for part in self._parts if part.note)

    @staticmethod
    def recognises(path: Path) -> bool:
        """Says whether ``path`` is a JSON file of COCO's, or a folder with ``annotations/*.json``."""
        files = [path] if path.suffix.lower() == ".json" else sorted((path / "annotations").glob("*.json"))
        return any(kind_of_json(file) == "other" for file in files)

    def __len__(self) -> int:
        return sum(len(part.images) for part in self._parts)

    def __iter__(self) -> Iterator[ImageRecord | RecordError]:
        keys: set[str] = set()
        for part in self._parts:
            ids: set[object] = set()
            for image in part.images:
                identity = image.get("id")
                try:
                    record = part.record(image, self.image_root)
                    if record.key in keys:
                        raise DatasetError(part.file, f"two images share the key {record.key!r}")
                    if identity in ids:
                        raise DatasetError(part.file, f"two images share the id {identity!r}")
                except DatasetError as error:
                    yield RecordError(str(image.get("file_name") or identity), part.file, error.problem)
                    continue
                keys.add(record.key)
                ids.add(identity)
                yield record


@dataclass(frozen=True, slots=True)
class _Part:
    """One JSON file: its images, its categories by id, and its annotations by image id."""

    file: Path
    images_folder: Path
    images: Sequence[Mapping[str, Any]]
    categories: Mapping[object, str]
    annotations: Mapping[object, Sequence[Mapping[str, Any]]]
    note: str

    @classmethod
    def load(cls, file: Path) -> _Part:
        content = _load(file)
        try:
            images = [dict(image) for image in content["images"]]
            categories = {entry["id"]: str(entry["name"]) for entry in content.get("categories", [])}
            annotations: dict[object, list[Mapping[str, Any]]] = {}
            for annotation in content.get("annotations", []):
                annotations.setdefault(annotation["image_id"], []).append(annotation)
            orphans = annotations.keys() - {image.get("id") for image in images}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DatasetError(file, f"lacks or breaks the COCO field {error}") from error
        names = [str(image.get("file_name", "")) for image in islice(images, _IMAGES_TO_TRY)]
        count = sum(len(annotations[image_id]) for image_id in orphans)
        note = f"warning: {file}: {count} annotations name an image that is not listed" if count else ""
        return cls(file, _images_folder(file, names), images, categories, annotations, note)

    def record(self, image: Mapping[str, Any], root: Path) -> ImageRecord:
        name = str(image.get("file_name") or "")
        key_of(name, self.file)
        path = self.images_folder / name
        key = key_of(path.relative_to(root).as_posix(), self.file)
        instances, issues = [], []
        for index, annotation in enumerate(self.annotations.get(image.get("id"), ())):
            read = _instance(annotation, index, self.categories)
            if isinstance(read, Instance):
                instances.append(read)
            else:
                issues.append(read)
        return ImageRecord(key, path, tuple(instances), tuple(issues), _declared_size(image))


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


def _load(file: Path) -> Mapping[str, Any]:
    content = load_json(file, without=("segmentation",))  # boxes alone are read
    if not isinstance(content, dict):
        raise DatasetError(file, f"must hold a JSON object, but got {type(content).__name__}")
    return content


def _images_folder(file: Path, names: Sequence[str]) -> Path:
    """Returns the first of the customary folders that holds one of the images."""
    base = file.parent.parent if file.parent.name == "annotations" else file.parent
    split = file.stem.removeprefix("instances_")
    places = [base / split, base / "images" / split, base / "images", base / "JPEGImages", base, file.parent]
    folders = [folder for folder in places if folder.is_dir()]
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
