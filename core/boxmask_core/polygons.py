"""One polygon per mask, for formats that hold nothing else.

Rings run through pixel centres, as consumers of YOLO-seg fill them (``cv2.fillPoly``, edges included). Holes
and further parts are joined to the ring by bridges of zero width: a walk to the nearest vertex and back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class BridgedPolygon:
    """A mask as one closed polygon.

    Attributes:
        points: int32 ``(N, 2)``, x and y of pixel centres, N at least 3.
        bridged_parts: Parts beyond the first; a bridge to a part crosses the background.
        bridged_holes: Holes.
    """

    points: NDArray[np.int32]
    bridged_parts: int
    bridged_holes: int


def bridged_polygon(mask: NDArray[np.bool_]) -> BridgedPolygon | None:
    """Traces a mask and joins all of its rings into one.

    Args:
        mask: bool, ``(H, W)``.

    Returns:
        The polygon, or None where the mask is empty.
    """
    contours, hierarchy = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return None
    rings = [np.asarray(contour, dtype=np.int32).reshape(-1, 2) for contour in contours]
    parents = np.asarray(hierarchy).reshape(-1, 4)[:, 3]
    outer = sorted(np.flatnonzero(parents < 0).tolist(), key=lambda index: (-_area(rings[index]), index))
    parts = [
        joined_rings(rings[index], [rings[hole] for hole in np.flatnonzero(parents == index)])
        for index in outer
    ]
    points = joined_rings(parts[0], parts[1:])
    short = max(3 - len(points), 0)
    points = np.concatenate([points, np.repeat(points[-1:], short, axis=0)])
    return BridgedPolygon(points, len(parts) - 1, len(rings) - len(parts))


def connected_parts(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Returns the 8-connected parts, the largest first; of equal ones that which comes first.

    Args:
        mask: bool, ``(H, W)``.

    Returns:
        bool ``(H, W)``, one per part.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    order = sorted(range(1, count), key=lambda label: -int(stats[label, cv2.CC_STAT_AREA]))
    return [labels == label for label in order]


def _area(ring: NDArray[np.int32]) -> float:
    return float(cv2.contourArea(ring))


def joined_rings(ring: NDArray[np.int32], others: list[NDArray[np.int32]]) -> NDArray[np.int32]:
    """Joins rings into one by bridges of zero width, each between the two vertices that lie closest.

    Args:
        ring: int32 ``(N, 2)``, x and y.
        others: Rings that are joined to it one after another.
    """
    for other in others:
        here, there = _nearest(ring, other)
        ring = np.concatenate([ring[: here + 1], other[there:], other[: there + 1], ring[here:]])
    return ring


def _nearest(ring: NDArray[np.int32], other: NDArray[np.int32]) -> tuple[int, int]:
    """Returns the indices of the two vertices that lie closest; the first such pair in row order."""
    best, pair = np.inf, (0, 0)
    for start in range(0, len(other), _ROWS_AT_ONCE):
        rows = other[start : start + _ROWS_AT_ONCE].astype(np.int64)
        dx, dy = (np.subtract.outer(rows[:, axis], ring[:, axis]) for axis in (0, 1))
        distances = dx * dx + dy * dy
        there, here = divmod(int(distances.argmin()), len(ring))
        if distances[there, here] < best:
            best, pair = distances[there, here], (here, start + there)
    return pair
