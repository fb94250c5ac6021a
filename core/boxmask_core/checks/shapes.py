"""Boxes, polygons and masks against their image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from pycocotools import mask as coco_mask

from boxmask_core.checks import rules
from boxmask_core.errors import InvalidMaskError
from boxmask_core.palette import MAX_PIXELS
from boxmask_core.rle import decode_rle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from boxmask_core.checks.findings import Findings

Size = tuple[int, int]

_SLACK: Final = 1.0
"""Pixels that a coordinate may lie beyond its image: tools differ in where a pixel begins."""
_LEAST_AREA: Final = 1e-9
_ROUGH: Final = 0.1
_ROUGH_PIXELS: Final = 10


def size_of(width: object, height: object) -> Size | None:
    """Returns ``(width, height)`` as a file has them, or None where no image has so many pixels."""
    if not isinstance(width, int) or not isinstance(height, int) or min(width, height) <= 0:
        return None
    return (width, height) if width * height <= MAX_PIXELS else None


def check_corners(
    corners: tuple[float, float, float, float], size: Size | None, findings: Findings, where: str
) -> bool:
    """Checks a box.

    Args:
        corners: x0, y0, x1, y1, pixels.
        size: ``(width, height)`` of its image, pixels, or None where that is not known.
        findings: Where problems go.
        where: What names the box.

    Returns:
        Whether it can be used.
    """
    x0, y0, x1, y1 = corners
    told = f"x0={x0:g} y0={y0:g} x1={x1:g} y1={y1:g}"
    if not all(map(math.isfinite, corners)):
        findings.add(rules.NAN_BOX, where, told)
        return False
    if x1 <= x0 or y1 <= y0:
        findings.add(rules.DEGENERATE_BOX, where, told)
        return False
    if size is None:
        return True
    if x0 >= size[0] or y0 >= size[1] or x1 <= 0 or y1 <= 0:
        findings.add(rules.BOX_OUTSIDE_IMAGE, where, f"{told} in {size[0]} x {size[1]}")
        return False
    if min(x0, y0) < -_SLACK or x1 > size[0] + _SLACK or y1 > size[1] + _SLACK:
        findings.add(rules.CLIPPED_BOX, where, f"{told} in {size[0]} x {size[1]}")
    return True


def check_ring(points: NDArray[np.float64], size: Size | None, findings: Findings, where: str) -> bool:
    """Checks a polygon.

    Args:
        points: ``(N, 2)``, pixels.
        size: As in `check_corners`.
        findings: Where problems go.
        where: What names the polygon.

    Returns:
        Whether it can be filled.
    """
    if len(points) < 3:
        findings.add(rules.BAD_POLYGON, where, f"it has {len(points)} points")
        return False
    if not np.isfinite(points).all():
        findings.add(rules.BAD_POLYGON, where, "a coordinate is not a finite number")
        return False
    low, high = points.min(axis=0), points.max(axis=0)
    if (high - low).min() < _LEAST_AREA:
        findings.add(rules.FLAT_POLYGON, where)
    if size is not None and ((low < -_SLACK).any() or (high > np.array(size) + _SLACK).any()):
        told = "from {:g}, {:g} to {:g}, {:g}".format(*low, *high)
        findings.add(rules.OUTSIDE_IMAGE, where, f"{told} in {size[0]} x {size[1]}")
        return False
    return True


def ring_of(values: Sequence[object]) -> NDArray[np.float64] | None:
    """Returns the points ``(N, 2)`` of a flat list of coordinates, or None where it holds no such list."""
    try:
        flat = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return flat.reshape(-1, 2) if flat.ndim == 1 and flat.size % 2 == 0 else None


def filled_rings(rings: Sequence[NDArray[np.float64]], size: Size) -> NDArray[np.bool_]:
    """Fills polygons that `check_ring` passed, as COCO does.

    Args:
        rings: ``(N, 2)`` each, pixels.
        size: ``(width, height)`` of the image, pixels.

    Returns:
        bool, ``(height, width)``.
    """
    width, height = size
    inside = [ring.clip(0, size).ravel().tolist() for ring in rings]
    counts = coco_mask.merge(coco_mask.frPyObjects(inside, height, width))["counts"]
    return decode_rle(counts if isinstance(counts, bytes) else counts.encode("ascii"), height, width)


def decoded_counts(counts: object, size: Size) -> NDArray[np.bool_]:
    """Decodes COCO's run lengths, compressed (text) or not (a list).

    Args:
        counts: As the file has them.
        size: ``(width, height)`` of the mask, pixels.

    Raises:
        InvalidMaskError: They are malformed or do not fit the size.
    """
    width, height = size
    if isinstance(counts, str):
        return decode_rle(counts.encode("ascii", "replace"), height, width)
    if not isinstance(counts, list) or not all(isinstance(run, int) and run >= 0 for run in counts):
        raise InvalidMaskError(
            "RLE", f"its counts must be a text or a list of run lengths, but got {counts!r:.40}"
        )
    if sum(counts) != width * height:
        raise InvalidMaskError(
            "RLE", f"its runs must sum to {height} x {width} pixels, but got {sum(counts)}"
        )
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T


def check_numbers(
    mask: NDArray[np.bool_], area: object, bbox: object, findings: Findings, where: str, *, exact: bool
) -> None:
    """Compares a mask with the area and the bounding box that the file gives it.

    Args:
        mask: bool, ``(H, W)``.
        area: Pixels, as the file has it; None where it has none.
        bbox: ``[x, y, width, height]`` likewise.
        findings: Where problems go.
        where: What names the mask.
        exact: Whether the numbers belong to these very pixels; those of a drawn polygon do roughly.
    """
    pixels = int(np.count_nonzero(mask))
    if pixels == 0:
        findings.add(rules.EMPTY_MASK, where)
        return
    if isinstance(area, int | float):
        off = abs(area - pixels)
        told = f"the file says {area:g}, the mask has {pixels}"
        if exact and not off < 1:
            findings.add(rules.WRONG_AREA, where, told)
        elif not exact and not off <= max(_ROUGH * pixels, _ROUGH_PIXELS):
            findings.add(rules.ROUGH_AREA, where, told)
    if isinstance(bbox, list) and len(bbox) == 4 and all(isinstance(value, int | float) for value in bbox):
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        x0, y0, x1, y1 = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
        x, y, width, height = bbox
        off = np.abs(np.array([x - x0, y - y0, x + width - x1, y + height - y1])).max()
        if not off <= (_SLACK if exact else 2 * _SLACK):
            told = f"the file says {bbox}, the mask has {[x0, y0, x1 - x0, y1 - y0]}"
            findings.add(rules.WRONG_BBOX, where, told)
