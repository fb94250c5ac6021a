"""What has to be known of all annotations of a VOC folder before the first box can be read."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from boxmask_core.errors import DatasetError
from boxmask_core.formats.voc_xml import TAGS, annotation_path, corners_of, parse_annotation, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from boxmask_core.formats.voc import VocOrigin

_STRAY_SHARE = 0.01
"""Below this share of files, coordinates under 1 may be slips in a 1-based dataset, and a warning says so."""


@dataclass(frozen=True, slots=True)
class VocSurvey:
    """What one pass over all annotation files tells.

    Attributes:
        names: The classes of all objects.
        boxes: How many boxes there are.
        files_with_boxes: How many files hold some.
        files_below_one: How many of those have a coordinate below 1.
        first_below_one: The first such coordinate, in words, or nothing.
    """

    names: frozenset[str]
    boxes: int
    files_with_boxes: int
    files_below_one: int
    first_below_one: str

    @classmethod
    def of(cls, root: Path, keys: Iterable[str]) -> VocSurvey:
        """Reads the annotations of the keys; those that cannot be read are passed over.

        Args:
            root: The VOC folder.
            keys: Which annotations.
        """
        names: set[str] = set()
        boxes = with_boxes = below_one = 0
        first = ""
        for key in keys:
            try:
                objects = parse_annotation(annotation_path(root, key)).findall("object")
            except DatasetError:
                continue  # reported when the dataset is read
            names.update(name for element in objects if (name := text_of(element, "name")))
            corners = [found for element in objects if (found := corners_of(element)) is not None]
            boxes += len(corners)
            with_boxes += bool(corners)
            if low := next(filter(None, map(_low_coordinate, corners)), ""):
                below_one += 1
                first = first or f"{low} in {key}.xml"
        return cls(frozenset(names), boxes, with_boxes, below_one, first)

    def offset(self, origin: VocOrigin) -> tuple[float, tuple[str, ...]]:
        """Returns what to subtract from xmin and ymin, and the notes on how that was found.

        Args:
            origin: As in `VocDataset`.
        """
        if origin != "auto":
            return float(origin), (f"VOC boxes read as {origin}-based, as told",)
        if not self.first_below_one:
            evidence = f"no coordinate is below 1 in {self.boxes} boxes"
            return 1.0, (f"VOC boxes read as 1-based and inclusive: {evidence}",)
        share = f"{self.files_below_one} of {self.files_with_boxes} files"
        stray = self.files_below_one < _STRAY_SHARE * self.files_with_boxes
        note = (
            f"{'warning: ' if stray else ''}VOC boxes read as 0-based edges: {self.first_below_one}, "
            f"and {share} have a coordinate below 1; if they count from 1, pass --voc-origin 1"
        )
        return 0.0, (note,)


def _low_coordinate(corners: Sequence[float]) -> str:
    """Returns the first coordinate that cannot be 1-based, in words, or nothing."""
    low = (f"{tag} is {value:g}" for tag, value in zip(TAGS, corners, strict=True) if -inf < value < 1)
    return next(low, "")
