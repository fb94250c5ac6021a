"""Pascal VOC: boxes from XML.

A VOC folder holds ``Annotations/KEY.xml``, ``JPEGImages/KEY.jpg`` and ``ImageSets/Segmentation/SPLIT.txt``
or ``ImageSets/Main/SPLIT.txt``. Boxes are 1-based and inclusive (VOC2012 development kit, section 4.1), but
tools other than VOC's write 0-based edges under the same tags.
"""

from __future__ import annotations

from itertools import chain
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError, InvalidBoxError
from boxmask_core.formats.annotated_boxes import told_apart
from boxmask_core.formats.file_tree import files_below
from boxmask_core.formats.image_places import base_name, first_file, is_file, places_of_key
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.keys import checked_key, listed_lines
from boxmask_core.formats.packed_strings import PackedStrings
from boxmask_core.formats.scratch import once_each
from boxmask_core.formats.voc_survey import VocSurvey
from boxmask_core.formats.voc_xml import (
    annotation_path,
    corners_of,
    declared_size,
    flag_of,
    parse_annotation,
    text_of,
)
from boxmask_core.instances import BoxIssue, Flags, ImageRecord, Instance

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from xml.etree.ElementTree import Element


VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""VOC's classes; the first has index 1 in label maps."""

VocOrigin = Literal["auto", "1", "0"]


class VocDataset:
    """The boxes of a VOC folder.

    Args:
        path: The folder with ``Annotations``, or its parent (``VOCdevkit``), or the parent of that.
        split: Name of an image set, or None for every annotated image.
        origin: "1" for VOC's own 1-based, inclusive boxes, "0" for 0-based edges; "auto" takes any coordinate
            below 1 for a proof that they count from 0. The notes tell what was found.
        images: The folder of the images; None for ``JPEGImages``.

    Raises:
        DatasetError: There is no such folder or image set.
    """

    def __init__(
        self,
        path: Path,
        *,
        split: str | None = None,
        origin: VocOrigin = "auto",
        images: Path | None = None,
    ) -> None:
        self._root = _root(path)
        self.image_root = images or self._root / "JPEGImages"
        self._keys = PackedStrings(_all_keys(self._root) if split is None else _split_keys(self._root, split))
        survey = VocSurvey.of(self._root, self._keys)
        self.class_names = VOC_CLASSES if survey.names <= set(VOC_CLASSES) else tuple(sorted(survey.names))
        self._offset, self.notes = survey.offset(origin)

    @staticmethod
    def recognises(path: Path) -> bool:
        """Says whether a VOC folder lies at or under ``path``."""
        return bool(_roots(path))

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[ImageRecord | RecordError]:
        for key in self._keys:
            annotation = annotation_path(self._root, key)
            try:
                yield self._record(key, parse_annotation(annotation))
            except DatasetError as error:
                yield RecordError(key, annotation, error.problem)

    def _record(self, key: str, annotation: Element) -> ImageRecord:
        instances, issues = told_apart(
            _instance(element, str(index), self._offset)
            for index, element in enumerate(annotation.findall("object"))
        )
        path = _image_path(self.image_root, key, text_of(annotation, "filename"))
        return ImageRecord(key, path, instances, issues, declared_size(annotation))


def _root(path: Path) -> Path:
    roots = _roots(path)
    if not roots:
        raise DatasetError(path, "there is no VOC folder here or below: expected a folder Annotations")
    if len(roots) > 1:
        raise DatasetError(path, f"holds several VOC folders, name one: {', '.join(map(str, roots))}")
    return roots[0]


def _roots(path: Path) -> list[Path]:
    for pattern in ("Annotations", "VOC*/Annotations", "VOCdevkit/VOC*/Annotations"):
        found = sorted(folder.parent for folder in path.glob(pattern) if folder.is_dir())
        if found:
            return found
    return []


def _all_keys(root: Path) -> list[str]:
    return sorted(name.removesuffix(".xml") for name in files_below(root / "Annotations", (".xml",)))


def _split_keys(root: Path, split: str) -> Iterator[str]:
    folders = (root / "ImageSets" / "Segmentation", root / "ImageSets" / "Main")
    path = next((file for folder in folders if (file := folder / f"{split}.txt").is_file()), None)
    if path is None:
        known = sorted({file.stem for folder in folders for file in folder.glob("*.txt")})
        raise DatasetError(root, f"there is no image set {split!r}; expected one of {known}")
    # A key is kept once, in the file's order.
    return (
        checked_key(key, path) for key in once_each(_key_of_line(root, line) for line in listed_lines(path))
    )


def _key_of_line(root: Path, line: str) -> str:
    """Returns the key of a line of an image set: sets of one class in Main have a second column.

    What comes before the white space is the key, unless an annotation is called like the longer text.
    """
    longer = (line, *line.rsplit(maxsplit=1)[:-1])
    keys = map(_listed_key, longer if len(line.split()) > 1 else ())
    found = (key for key in keys if ".." not in key and is_file(annotation_path(root, key)))
    return next(found, None) or _listed_key(line.split()[0])


def _listed_key(entry: str) -> str:
    """Returns the key of a line; many lists of SBD's ``trainaug`` name files, ``/JPEGImages/KEY.jpg``."""
    path = PurePosixPath(entry.lstrip("/"))
    named = path.parts[:1] == ("JPEGImages",)
    return path.relative_to("JPEGImages").with_suffix("").as_posix() if named else entry


def _instance(element: Element, index: str, offset: float) -> Instance | BoxIssue:
    name = text_of(element, "name")
    if not name:
        return BoxIssue(index, "", "the object has no <name>")
    corners = corners_of(element)
    if corners is None:
        return BoxIssue(index, name, "the object has no <bndbox> with four numbers xmin, ymin, xmax, ymax")
    xmin, ymin, xmax, ymax = corners
    try:
        box = Box(xmin - offset, ymin - offset, xmax, ymax)
    except InvalidBoxError as error:
        return BoxIssue(index, name, str(error))
    flags = Flags(
        difficult=flag_of(element, "difficult"),
        truncated=flag_of(element, "truncated"),
        occluded=flag_of(element, "occluded"),
    )
    return Instance(box, name, flags, index)


def _image_path(folder: Path, key: str, filename: str) -> Path:
    """Returns the image that the annotation names, if it is called like the key; else that of the key.

    Where there is none either, any image that is named is taken, and then where VOC would have it.
    """
    named = [(folder / key).parent / base_name(filename)] if base_name(filename) else []
    mine = [path for path in named if path.stem == PurePosixPath(key).name]
    return first_file(chain(mine, places_of_key(folder, key), named)) or folder / f"{key}.jpg"
