"""Pascal VOC: boxes from XML.

A VOC folder holds ``Annotations/KEY.xml``, ``JPEGImages/KEY.jpg`` and ``ImageSets/Segmentation/SPLIT.txt``
or ``ImageSets/Main/SPLIT.txt``. Boxes are 1-based and inclusive (VOC2012 development kit, section 4.1), but
tools other than VOC's write 0-based edges under the same tags.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal
from xml.etree.ElementTree import ParseError

import defusedxml.ElementTree as ElementTree
from defusedxml.common import DefusedXmlException

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError, InvalidBoxError
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.keys import checked_key
from boxmask_core.images import IMAGE_SUFFIXES
from boxmask_core.instances import BoxIssue, Flags, ImageRecord, Instance

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from xml.etree.ElementTree import Element


VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""VOC's classes; the first has index 1 in label maps."""

VocOrigin = Literal["auto", "1", "0"]

_STRAY_SHARE = 0.01
"""Below this share of files, coordinates under 1 are taken for slips in a 1-based dataset."""


class VocDataset:
    """The boxes of a VOC folder.

    Args:
        path: The folder with ``Annotations``, or its parent (``VOCdevkit``), or the parent of that.
        split: Name of an image set, or None for every annotated image.
        origin: "1" for VOC's own 1-based, inclusive boxes, "0" for 0-based edges, "auto" to tell by the
            smallest coordinates.

    Raises:
        DatasetError: There is no such folder or image set.
    """

    def __init__(self, path: Path, *, split: str | None = None, origin: VocOrigin = "auto") -> None:
        self._root = _root(path)
        self.image_root = self._root / "JPEGImages"
        self._keys = _all_keys(self._root) if split is None else _split_keys(self._root, split)
        survey = _Survey.of(self._root, self._keys)
        self.class_names = survey.class_names
        self._offset, self.notes = survey.offset(origin)

    @staticmethod
    def recognises(path: Path) -> bool:
        """Says whether a VOC folder lies at or under ``path``."""
        return bool(_roots(path))

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[ImageRecord | RecordError]:
        for key in self._keys:
            annotation = _annotation_path(self._root, key)
            try:
                yield self._record(key, _parse(annotation))
            except DatasetError as error:
                yield RecordError(key, annotation, error.problem)

    def _record(self, key: str, annotation: Element) -> ImageRecord:
        instances, issues = [], []
        for index, element in enumerate(annotation.findall("object")):
            read = _instance(element, str(index), self._offset)
            if isinstance(read, Instance):
                instances.append(read)
            else:
                issues.append(read)
        path = _image_path(self.image_root, key, _text(annotation, "filename"))
        return ImageRecord(key, path, tuple(instances), tuple(issues), _declared_size(annotation))


@dataclass(frozen=True, slots=True)
class _Survey:
    """What one pass over all annotation files tells: the classes, and whether boxes count from 0 or 1."""

    class_names: tuple[str, ...]
    files_with_boxes: int
    files_below_one: int

    @classmethod
    def of(cls, root: Path, keys: Sequence[str]) -> _Survey:
        names: set[str] = set()
        with_boxes = below_one = 0
        for key in keys:
            try:
                objects = _parse(_annotation_path(root, key)).findall("object")
            except DatasetError:
                continue  # reported when the dataset is read
            names.update(name for element in objects if (name := _text(element, "name")))
            corners = [_corners(element) for element in objects]
            smallest = min((min(values) for values in corners if values is not None), default=None)
            with_boxes += smallest is not None
            below_one += smallest is not None and smallest < 1
        class_names = VOC_CLASSES if names <= set(VOC_CLASSES) else tuple(sorted(names))
        return cls(class_names, with_boxes, below_one)

    def offset(self, origin: VocOrigin) -> tuple[float, tuple[str, ...]]:
        """Returns what to subtract from xmin and ymin, and the notes on how that was found."""
        if origin != "auto":
            return float(origin), (f"VOC boxes read as {origin}-based, as told",)
        counts = f"{self.files_below_one} of {self.files_with_boxes} files have a coordinate below 1"
        if self.files_below_one == 0:
            return 1.0, (f"VOC boxes read as 1-based and inclusive: {counts}",)
        if self.files_below_one < _STRAY_SHARE * self.files_with_boxes:
            warning = (
                f"warning: VOC boxes read as 1-based and inclusive although {counts}; if they count from 0"
            )
            return 1.0, (f"{warning}, pass --voc-origin 0",)
        warning = f"warning: VOC boxes read as 0-based edges, for {counts}; if they count from 1"
        return 0.0, (f"{warning}, pass --voc-origin 1",)


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


def _annotation_path(root: Path, key: str) -> Path:
    return root / "Annotations" / f"{key}.xml"


def _all_keys(root: Path) -> tuple[str, ...]:
    folder = root / "Annotations"
    return tuple(
        sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.xml"))
    )


def _split_keys(root: Path, split: str) -> tuple[str, ...]:
    folders = (root / "ImageSets" / "Segmentation", root / "ImageSets" / "Main")
    path = next((file for folder in folders if (file := folder / f"{split}.txt").is_file()), None)
    if path is None:
        known = sorted({file.stem for folder in folders for file in folder.glob("*.txt")})
        raise DatasetError(root, f"there is no image set {split!r}; expected one of {known}")
    # Sets of one class in Main have a second column; a key is kept once, in the file's order.
    keys = dict.fromkeys(line.split()[0] for line in path.read_text().splitlines() if line.strip())
    return tuple(checked_key(_listed_key(key), path) for key in keys)


def _listed_key(entry: str) -> str:
    """Returns the key of a line; many lists of SBD's ``trainaug`` name files, ``/JPEGImages/KEY.jpg``."""
    path = PurePosixPath(entry.lstrip("/"))
    named = path.parts[:1] == ("JPEGImages",)
    return path.relative_to("JPEGImages").with_suffix("").as_posix() if named else entry


def _parse(path: Path) -> Element:
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError as error:
        raise DatasetError(path, "the annotation file is missing") from error
    except (ParseError, DefusedXmlException, ValueError, LookupError, OSError) as error:
        raise DatasetError(path, f"cannot be read as XML: {error}") from error
    if root is None or root.tag != "annotation":
        raise DatasetError(path, "the root element of a VOC file must be <annotation>")
    return root


def _instance(element: Element, index: str, offset: float) -> Instance | BoxIssue:
    name = _text(element, "name")
    if not name:
        return BoxIssue(index, "", "the object has no <name>")
    corners = _corners(element)
    if corners is None:
        return BoxIssue(index, name, "the object has no <bndbox> with four numbers xmin, ymin, xmax, ymax")
    xmin, ymin, xmax, ymax = corners
    try:
        box = Box(xmin - offset, ymin - offset, xmax, ymax)
    except InvalidBoxError as error:
        return BoxIssue(index, name, str(error))
    flags = Flags(
        difficult=_flag(element, "difficult"),
        truncated=_flag(element, "truncated"),
        occluded=_flag(element, "occluded"),
    )
    return Instance(box, name, flags, index)


def _corners(element: Element) -> tuple[float, float, float, float] | None:
    texts = [_text(element, f"bndbox/{tag}") for tag in ("xmin", "ymin", "xmax", "ymax")]
    try:
        xmin, ymin, xmax, ymax = map(float, texts)  # float: VOC2012 itself has boxes with decimals
    except ValueError:
        return None
    return xmin, ymin, xmax, ymax


def _flag(element: Element, tag: str) -> bool:
    text = _text(element, tag).lower()
    try:
        return float(text) > 0
    except ValueError:
        return text == "true"


def _text(element: Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _declared_size(annotation: Element) -> tuple[int, int] | None:
    try:
        width, height = (int(float(_text(annotation, f"size/{side}"))) for side in ("width", "height"))
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _image_path(folder: Path, key: str, filename: str) -> Path:
    """Returns the key's image, else the one that the annotation names, else where VOC would have it."""
    suffixes = [variant for suffix in IMAGE_SUFFIXES for variant in (suffix, suffix.upper())]
    named = (folder / key).parent / Path(filename).name
    candidates = [folder / f"{key}{suffix}" for suffix in suffixes]
    return next((path for path in (*candidates, named) if path.is_file()), folder / f"{key}.jpg")
