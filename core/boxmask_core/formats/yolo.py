"""YOLO: boxes from ``labels/KEY.txt`` beside ``images/KEY.jpg``, described by ``data.yaml``.

A line is ``class cx cy width height [confidence]``, normalised by the upright image's size, or
``class x1 y1 x2 y2 ...``, a polygon, whose bounds are taken. An empty label file says that there is nothing
in the image; a missing one says nothing, so such images are left out and counted.
"""

from __future__ import annotations

from os.path import normpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError, InvalidBoxError
from boxmask_core.formats.annotated_boxes import shared_key, told_apart
from boxmask_core.formats.file_tree import files_below
from boxmask_core.formats.image_places import common_folder, exists, is_file, upright_size
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.keys import key_of, listed_lines
from boxmask_core.formats.packed_strings import PackedStrings
from boxmask_core.formats.scratch import FirstHolders, once_each
from boxmask_core.images import IMAGE_SUFFIXES
from boxmask_core.instances import BoxIssue, ImageRecord, Instance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

CONFIG = "data.yaml"
_SPLITS = ("train", "val", "test")
_ABSENT = {"", "~", "null"}


class YoloDataset:
    """The boxes of a YOLO dataset.

    Args:
        path: ``data.yaml``, or the folder with it.
        split: "train", "val", "test" or another key of ``data.yaml``; None reads those three.
        images: Must be None: where an image lies tells where its labels do.

    Raises:
        DatasetError: There is no such file or split, or it breaks the format.
    """

    def __init__(self, path: Path, *, split: str | None = None, images: Path | None = None) -> None:
        file = path / CONFIG if path.is_dir() else path
        if images is not None:
            problem = f"its labels are found by the places of its images, which cannot be moved to {images}"
            raise DatasetError(file, f"{problem}; let data.yaml name them")
        config = _load(file)
        self._names = _names(config, file)
        self.class_names = tuple(name for _, name in sorted(self._names.items()))
        found = (image for source in _sources(config, file, split) for image in _images(source))
        survey = _Survey(found)
        self._images = PackedStrings(survey.labelled())
        self.notes = survey.notes()
        self.image_root = survey.root or file.parent

    @staticmethod
    def recognises(path: Path) -> bool:
        """Says whether ``path`` is a YAML file or a folder with ``data.yaml``."""
        return path.suffix.lower() in {".yaml", ".yml"} or (path / CONFIG).is_file()

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[ImageRecord | RecordError]:
        with FirstHolders() as keys:
            for image in map(Path, self._images):
                key = key_of(image.relative_to(self.image_root).as_posix(), image)
                if (other := keys.claim(key, image.name)) is None:
                    yield self._record(key, image)
                else:
                    yield RecordError(key, image, shared_key(key, other, image.name))

    def _record(self, key: str, image: Path) -> ImageRecord | RecordError:
        label = _label_path(image)
        try:
            size = upright_size(image)
        except DatasetError as error:
            return RecordError(key, image, error.problem)
        try:
            lines = [line for line in label.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            return RecordError(key, label, f"the label file cannot be read: {error}")
        instances, issues = told_apart(
            _instance(line, str(index), size, self._names) for index, line in enumerate(lines)
        )
        return ImageRecord(key, image, instances, issues)


class _Survey:
    """The images that have a label file, each once; what one pass over all tells is known after it."""

    def __init__(self, images: Iterable[str]) -> None:
        self._images = images
        self._unlabelled = 0
        self.root: Path | None = None

    def labelled(self) -> Iterator[str]:
        for name in once_each(self._images):
            image = Path(name)
            self.root = common_folder(self.root, image.parent)
            if is_file(_label_path(image)):
                yield name
            else:
                self._unlabelled += 1

    def notes(self) -> tuple[str, ...]:
        return (f"{self._unlabelled} images have no label file and are left out",) if self._unlabelled else ()


def _load(file: Path) -> Mapping[str, Any]:
    try:
        # BaseLoader keeps every scalar a string: a class called "no" stays "no".
        config = yaml.load(file.read_bytes(), Loader=yaml.BaseLoader)
    except (OSError, yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise DatasetError(file, f"cannot be read as YAML: {error}") from error
    if not isinstance(config, dict):
        raise DatasetError(file, "must hold the keys names and train, val or test")
    return config


def _names(config: Mapping[str, Any], file: Path) -> Mapping[int, str]:
    names = config.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        raise DatasetError(file, "names must be a list of class names, or a map from class index to name")
    # What aliases nest in one another can be endless as a text, so nothing but a text becomes one.
    if not all(isinstance(name, str) for name in names.values()):
        raise DatasetError(file, "every class name must be a text, but one is a list or a map")
    try:
        return {int(index): name for index, name in names.items() if name}
    except ValueError as error:
        raise DatasetError(file, f"the keys of names must be class indices: {error}") from error


def _sources(config: Mapping[str, Any], file: Path, split: str | None) -> list[Path]:
    """Returns the image folders and image lists of a split; of all splits, those that exist."""
    if split is None:
        splits = [name for name in _SPLITS if _entries(config, name)]
    elif _entries(config, split):
        splits = [split]
    else:
        raise DatasetError(file, f"there is no split {split!r}; expected one of {sorted(config)}")
    entries = [entry for name in splits for entry in _entries(config, name)]
    found = {entry: _resolved(entry, config, file) for entry in entries}
    missing = [entry for entry, path in found.items() if path is None]
    paths = [path for path in found.values() if path is not None]
    if not paths or (missing and split is not None):
        raise DatasetError(file, f"none of its image folders exists: {missing or 'it names none'}")
    return paths


def _entries(config: Mapping[str, Any], split: str) -> list[str]:
    value = config.get(split)
    entries = value if isinstance(value, list) else [value]
    return [entry for entry in entries if isinstance(entry, str) and entry not in _ABSENT]


def _resolved(entry: str, config: Mapping[str, Any], file: Path) -> Path | None:
    """Looks below ``path``, then beside the file, then there without ``../`` in front (Roboflow)."""
    below = config.get("path", ".")
    if not isinstance(below, str):
        raise DatasetError(file, "path must be the name of a folder, but it is a list or a map")
    root = file.parent / below
    candidates = [root / entry, file.parent / entry, file.parent / entry.removeprefix("../")]
    return next((Path(normpath(path)) for path in candidates if exists(path)), None)


def _images(source: Path) -> Iterable[str]:
    if source.is_dir():
        return (f"{source}/{name}" for name in files_below(source, IMAGE_SUFFIXES))
    return (normpath(source.parent / line) for line in listed_lines(source))


def _label_path(image: Path) -> Path:
    """Returns the label beside the image, its last folder ``images`` exchanged for ``labels``."""
    parts = list(image.with_suffix(".txt").parts)
    places = [index for index, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return Path(*parts)


def _instance(line: str, index: str, size: tuple[int, int], names: Mapping[int, str]) -> Instance | BoxIssue:
    try:
        category, *values = map(float, line.split())
        name = names.get(int(category)) if category.is_integer() else None
    except (ValueError, OverflowError):
        return BoxIssue(index, "", f"expected numbers, but got {line!r}")
    if name is None:
        return BoxIssue(index, "", f"class {category:g} is not among the names")
    if len(values) in {4, 5}:
        cx, cy, width, height = values[:4]
        corners = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
    elif len(values) >= 6 and len(values) % 2 == 0:
        xs, ys = values[::2], values[1::2]
        corners = (min(xs), min(ys), max(xs), max(ys))
    else:
        return BoxIssue(
            index, name, f"expected 4 numbers of a box or 3 points of a polygon, but got {line!r}"
        )
    (x0, y0, x1, y1), (across, down) = corners, size
    try:
        box = Box(x0 * across, y0 * down, x1 * across, y1 * down)
    except InvalidBoxError as error:
        return BoxIssue(index, name, str(error))
    return Instance(box, name, id=index)
