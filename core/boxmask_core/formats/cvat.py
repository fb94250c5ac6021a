"""CVAT XML 1.1 "for images": boxes as 0-based float edges, read as a stream.

``<box>`` becomes an instance; its flags are the attribute ``occluded`` and the CVAT attributes called
``difficult``, ``truncated`` or ``crowd``. Other shapes are left out and counted. The "for video" flavour
holds tracks over frames, not images, and is refused.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

import defusedxml.ElementTree as ElementTree
from defusedxml.common import DefusedXmlException

from boxmask_core.errors import DatasetError
from boxmask_core.formats.annotated_boxes import (
    distinct,
    four_numbers,
    is_turned,
    named_flags,
    read_box,
    told_apart,
    turned_issue,
)
from boxmask_core.formats.image_places import first_file, portable
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.keys import key_of
from boxmask_core.instances import ImageRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from boxmask_core.instances import BoxIssue, Instance

ANNOTATIONS = "annotations.xml"
_HEAD_BYTES = 4096
_CORNERS = ("xtl", "ytl", "xbr", "ybr")


class CvatDataset:
    """The boxes of a CVAT export.

    Args:
        path: ``annotations.xml``, or the folder with it; images lie in ``images`` beside it, or beside it.
        split: The subset of the project to read, or None for every image.
        images: The folder that image names are relative to; None for the customary ones.

    Raises:
        DatasetError: There is no such file or subset, or it holds tracks of a video.
    """

    def __init__(self, path: Path, *, split: str | None = None, images: Path | None = None) -> None:
        self._file = path / ANNOTATIONS if path.is_dir() else path
        self._split = split
        survey = _Survey.of(self._file, split)
        self._count = survey.images
        self.class_names = survey.class_names
        self.notes = survey.notes()
        beside = self._file.parent / "images"
        self.image_root = images or (beside if beside.is_dir() else self._file.parent)

    @staticmethod
    def recognises(path: Path) -> bool:
        """Says whether ``path`` is an XML file of CVAT's, or a folder with ``annotations.xml`` of CVAT's."""
        file = path / ANNOTATIONS if path.is_dir() else path
        if file.suffix.lower() != ".xml" or not file.is_file():
            return False
        with file.open("rb") as opened:
            return b"<annotations" in opened.read(_HEAD_BYTES)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[ImageRecord | RecordError]:
        return distinct(self._records(), self._file)

    def _records(self) -> Iterator[ImageRecord | RecordError]:
        for element in children(self._file):
            if element.tag == "image" and _is_of(element, self._split):
                yield self._record(element)

    def _record(self, element: Element) -> ImageRecord | RecordError:
        name = portable(element.get("name") or "")
        try:
            key = key_of(name, self._file)
        except DatasetError as error:
            return RecordError(name or f"image {element.get('id')}", self._file, error.problem)
        subset = element.get("subset")
        places = [self.image_root / name, *([self.image_root / subset / name] if subset else [])]
        path = first_file(places) or places[0]
        boxes = element.findall("box")
        instances, issues = told_apart(_instance(box, str(index)) for index, box in enumerate(boxes))
        return ImageRecord(key, path, instances, issues, declared_size(element))


@dataclass(frozen=True, slots=True)
class _Survey:
    """What one pass over the file tells."""

    images: int
    class_names: tuple[str, ...]
    left_out: Mapping[str, int]

    @classmethod
    def of(cls, file: Path, split: str | None) -> _Survey:
        images, left_out = 0, Counter[str]()
        declared: dict[str, None] = {}
        used: set[str] = set()
        subsets: set[str] = set()
        for element in children(file):
            if element.tag == "track":
                problem = 'holds tracks of a video; export the task as "CVAT for images 1.1"'
                raise DatasetError(file, problem)
            if element.tag == "meta":
                declared |= dict.fromkeys(_declared_labels(element))
            elif element.tag == "image":
                subsets.add(element.get("subset") or "")
                if _is_of(element, split):
                    images += 1
                    used.update(box.get("label") or "" for box in element.findall("box"))
                    left_out.update(shape.tag for shape in element if shape.tag != "box")
        if split is not None and images == 0:
            raise DatasetError(
                file, f"there is no subset {split!r}; expected one of {sorted(subsets - {''})}"
            )
        names = dict.fromkeys([*declared, *sorted(used - {""})])
        return cls(images, tuple(names), left_out)

    def notes(self) -> tuple[str, ...]:
        if not self.left_out:
            return ()
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.left_out.items()))
        return (f"annotations that are no boxes are left out: {kinds}",)


def children(file: Path) -> Iterator[Element]:
    """Yields the children of ``<annotations>``; each is forgotten when the next is asked for.

    Args:
        file: The XML file.

    Raises:
        DatasetError: It is missing, is no XML, holds what untrusted XML must not, or has another root.
    """
    depth = 0
    root: Element | None = None
    try:
        for event, element in ElementTree.iterparse(file, events=("start", "end"), forbid_dtd=True):
            depth += 1 if event == "start" else -1
            if root is None:
                root = element
                if root.tag != "annotations":
                    raise DatasetError(file, "the root element of a CVAT file must be <annotations>")
            elif event == "end" and depth == 1:
                yield element
                root.clear()
    except FileNotFoundError as error:
        raise DatasetError(file, "the annotation file is missing") from error
    except (ParseError, DefusedXmlException, ValueError, LookupError, OSError) as error:
        raise DatasetError(file, f"cannot be read as XML: {error}") from error


def declared_size(element: Element) -> tuple[int, int] | None:
    """Returns ``(width, height)`` of an ``<image>``, or None where it declares none."""
    try:
        width, height = int(element.get("width", "")), int(element.get("height", ""))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None


def attributes(shape: Element) -> dict[str, str]:
    """Returns the CVAT attributes of a shape: the texts of its ``<attribute name=...>``."""
    return {entry.get("name") or "": entry.text or "" for entry in shape.findall("attribute")}


def _declared_labels(meta: Element) -> list[str]:
    """Returns the labels of a task, a job or a project; the parts of a skeleton are no classes."""
    places = ("task", "project", "job")
    labels = [label for place in places for label in meta.findall(f"{place}/labels/label")]
    return [name for label in labels if label.find("parent") is None and (name := label.findtext("name"))]


def _is_of(element: Element, split: str | None) -> bool:
    return split is None or element.get("subset") == split


def _instance(box: Element, index: str) -> Instance | BoxIssue:
    name = box.get("label") or ""
    if is_turned(box.get("rotation")):
        return turned_issue(index, name, box.get("rotation"))
    texts = [box.get(side) for side in _CORNERS]
    flags = named_flags({**attributes(box), "occluded": box.get("occluded")})
    expected = "numbers xtl, ytl, xbr, ybr"
    return read_box(four_numbers(texts), name, index, flags=flags, expected=expected, got=texts)
