"""Rings along the edges of pixels, as COCO's rasteriser fills them.

Coordinates are pixel edges, so a single pixel is a square of side 1. Parts are 4-connected: where two pixels
touch at a corner only, their rings stay apart. COCO's format knows no holes; a hole is joined to the ring of
its part by a bridge of zero width, a walk to the nearest corner and back. Holes run the other way round, so
they stay open whether a reader fills by parity or by winding. COCO's rasteriser fills that to exactly the
mask; a reader that counts edges in (``cv2.fillPoly``, and so supervision) draws a rim of a pixel too much at
the right and at the bottom, as it does with every polygon of COCO's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from boxmask_core.polygons import joined_rings
from boxmask_core.rle import decode_rle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def edge_polygons(mask: NDArray[np.bool_]) -> tuple[list[NDArray[np.int32]], int]:
    """Traces a mask.

    Args:
        mask: bool, ``(H, W)``.

    Returns:
        One ring per part, int32 ``(N, 2)`` of x and y in pixels, its holes joined, the part with the topmost
        corner first; and how many holes there were.
    """
    padded = np.pad(mask, 1)
    _, parts = cv2.connectedComponents(padded.astype(np.uint8), connectivity=4)
    outer: dict[int, NDArray[np.int32]] = {}
    holes: dict[int, list[NDArray[np.int32]]] = {}
    for ring in _rings(padded):
        x, y = ring[0]  # the topmost corner, leftmost of these: the ring's inside lies right below it
        if padded[y + 1, x + 1]:
            outer[int(parts[y + 1, x + 1])] = ring
        else:
            holes.setdefault(int(parts[y, x + 1]), []).append(ring[::-1])
    polygons = [joined_rings(ring, holes.get(part, [])) for part, ring in outer.items()]
    return polygons, sum(map(len, holes.values()))


def filled_rings(rings: Sequence[object], width: int, height: int) -> NDArray[np.bool_]:
    """Fills rings as COCO does, after a check: its rasteriser crashes on huge coordinates.

    Args:
        rings: Each ``[x0, y0, x1, y1, ...]`` or ``[[x0, y0], ...]``, pixels.
        width: Width of the image, pixels.
        height: Height of the image, pixels.

    Returns:
        bool, ``(height, width)``.

    Raises:
        ValueError: There is no ring, or one has fewer than 3 points or a point outside the image.
    """
    if not rings:
        raise ValueError("a mask must have a polygon, but got none")
    flat: list[list[Any]] = []
    for ring in rings:
        points = np.asarray(ring, dtype=np.float64).reshape(-1, 2)
        if len(points) < 3 or not ((points >= 0) & (points <= (width, height))).all():
            raise ValueError(f"a polygon must be 3 points or more inside {width} x {height}, but got {ring}")
        flat.append(points.ravel().tolist())
    counts = coco_mask.merge(coco_mask.frPyObjects(flat, height, width))["counts"]
    return decode_rle(counts if isinstance(counts, bytes) else counts.encode("ascii"), height, width)


def _rings(padded: NDArray[np.bool_]) -> list[NDArray[np.int32]]:
    """Returns every ring around foreground, each from its topmost and then leftmost corner, in that order.

    A ring alternates between horizontal and vertical edges. Along a row of the grid corners pair up, each
    that opens an edge with the next, which closes it; and so along a column.
    """
    x, y, right, down = _corners(padded)
    across = _pairs(y, x, right)
    along = _pairs(x, y, down)
    rings = []
    seen = bytearray(x.size)
    to_across, to_along = across.tolist(), along.tolist()
    for start in range(x.size):
        if seen[start]:
            continue
        walk = []
        corner = start
        while not seen[corner]:
            other = to_across[corner]
            walk += [corner, other]
            seen[corner] = seen[other] = True
            corner = to_along[other]
        rings.append(np.stack([x[walk], y[walk]], axis=1).astype(np.int32))
    return rings


def _corners(
    padded: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Returns x and y of every corner, whether its edges lead right and down; by y, then x.

    Of the four pixels around a corner one or three are foreground, or two that touch at the corner: there
    two rings meet, each around one of the pixels.
    """
    above, below = padded[:-1], padded[1:]
    tl, tr, bl, br = above[:, :-1], above[:, 1:], below[:, :-1], below[:, 1:]
    odd = tl ^ tr ^ bl ^ br
    saddle = (tl == br) & (tr == bl) & (tl != tr)
    y1, x1 = np.nonzero(odd)
    y2, x2 = np.nonzero(saddle)
    falling = tl[y2, x2]  # foreground at top left and bottom right
    y = np.concatenate([y1, y2, y2])
    x = np.concatenate([x1, x2, x2])
    right = np.concatenate([(tr != br)[y1, x1], np.zeros_like(falling), np.ones_like(falling)])
    down = np.concatenate([(bl != br)[y1, x1], ~falling, falling])
    order = np.lexsort(
        [~right, x, y]
    )  # of two at one place the one that opens a ring to the right below first
    return x[order], y[order], right[order], down[order]


def _pairs(line: NDArray[np.int64], place: NDArray[np.int64], opens: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Returns, for every corner, the other end of its edge along the line."""
    order = np.lexsort([opens, place, line])
    partner = np.empty(order.size, dtype=np.int64)
    partner[order[::2]] = order[1::2]
    partner[order[1::2]] = order[::2]
    return partner
