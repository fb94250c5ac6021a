"""The true masks of single objects, recovered from a VOC class map.

PASCAL VOC draws a void line around every object, also between two of one class. So the connected parts of
a class are parts of single objects, and each part is given to the box that it fits: first one part to
every box, such that their bounding boxes agree best; then the others, where only one box holds them or
where they bring the object's extent nearer to its box. Where that ends in no object that fits its box,
nothing is claimed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from boxmask_core.palette import VOID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from boxmask_core.boxes import Window

HELD: Final = 0.9
"""Share of a part's pixels that a box must hold for the part to be its object's."""
FITTING: Final = 0.5
"""IoU of the object's bounding box with its box below which it was not recovered."""

Extent = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class TrueObject:
    """One object's true mask, cropped to its box.

    Attributes:
        mask: bool, ``(window.height, window.width)``.
        known: bool, likewise: where the truth is known.
    """

    mask: NDArray[np.bool_]
    known: NDArray[np.bool_]


@dataclass(slots=True)
class _Found:
    """What a box's object was found to be: its parts, and their bounding box."""

    parts: list[int] = field(default_factory=list)
    extent: Extent | None = None

    def with_part(self, extent: Extent) -> Extent:
        if self.extent is None:
            return extent
        low = (min(self.extent[0], extent[0]), min(self.extent[1], extent[1]))
        return *low, max(self.extent[2], extent[2]), max(self.extent[3], extent[3])

    def add(self, part: int, extent: Extent) -> None:
        self.parts.append(part)
        self.extent = self.with_part(extent)


def true_objects(
    classes: NDArray[np.uint8], index: int, windows: Sequence[Window]
) -> list[TrueObject | None]:
    """Tells the objects of one class apart.

    Args:
        classes: uint8 class map, ``(H, W)``, 255 void.
        index: The class.
        windows: The boxes of all its objects in the image, in pixels.

    Returns:
        One object per box, in the order given; None where none was recovered that fits the box.
    """
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(
        (classes == index).astype(np.uint8), connectivity=4
    )
    extents = [_extent(row) for row in statistics]
    parts = sorted(range(1, count), key=lambda part: -int(statistics[part, cv2.CC_STAT_AREA]))
    holders = {
        part: [
            box
            for box, window in enumerate(windows)
            if np.count_nonzero(labels[window.slices()] == part) >= HELD * statistics[part, cv2.CC_STAT_AREA]
        ]
        for part in parts
    }
    boxes = [(window.x0, window.y0, window.x1, window.y1) for window in windows]
    found = [_Found() for _ in windows]
    unclear = _assigned(parts, holders, extents, boxes, found)
    return [
        _true_object(classes, labels, window, each, box, unclear)
        for window, box, each in zip(windows, boxes, found, strict=True)
    ]


def _assigned(
    parts: list[int],
    holders: dict[int, list[int]],
    extents: list[Extent],
    boxes: list[Extent],
    found: list[_Found],
) -> list[int]:
    """Gives every part to its box; returns the parts that cannot be given to one."""
    fits = np.array(
        [[_iou(extents[p], box) if b in holders[p] else 0.0 for b, box in enumerate(boxes)] for p in parts]
    ).reshape(len(parts), len(boxes))
    given = set()
    for row, box in zip(*linear_sum_assignment(-fits), strict=True):
        if fits[row, box] > 0:
            found[box].add(parts[row], extents[parts[row]])
            given.add(parts[row])
    for part in parts:
        if part not in given and len(holders[part]) == 1:
            found[holders[part][0]].add(part, extents[part])
            given.add(part)
    for part in parts:
        if part in given or not holders[part]:
            continue
        gains = [_gain(found[box], extents[part], boxes[box]) for box in holders[part]]
        if max(gains) > 0:
            found[holders[part][int(np.argmax(gains))]].add(part, extents[part])
            given.add(part)
    return [part for part in parts if part not in given]


def _gain(found: _Found, extent: Extent, box: Extent) -> float:
    before = 0.0 if found.extent is None else _iou(found.extent, box)
    return _iou(found.with_part(extent), box) - before


def _true_object(
    classes: NDArray[np.uint8],
    labels: NDArray[np.int32],
    window: Window,
    found: _Found,
    box: Extent,
    unclear: list[int],
) -> TrueObject | None:
    if found.extent is None or _iou(found.extent, box) < FITTING:
        return None
    inside = labels[window.slices()]
    known = (classes[window.slices()] != VOID) & ~np.isin(inside, unclear)
    return TrueObject(np.isin(inside, found.parts), known)


def _extent(row: NDArray[np.int32]) -> Extent:
    x, y, width, height = (int(value) for value in row[:4])
    return x, y, x + width, y + height


def _iou(first: Extent, second: Extent) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    both = max(width, 0) * max(height, 0)
    areas = [(extent[2] - extent[0]) * (extent[3] - extent[1]) for extent in (first, second)]
    return both / (sum(areas) - both)
