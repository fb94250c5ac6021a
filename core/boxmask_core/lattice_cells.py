"""Which cell of a permutohedral lattice a pixel lies in, and where in that cell.

All the work is on rows of pixels, one simple loop after another, so that each compiles to vector
instructions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from boxmask_core.errors import InvalidInputError
from boxmask_core.jit import jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

AXES: Final = 6
"""Corners of a cell, and directions that a lattice point has neighbours in: one more than dimensions."""

_LARGEST: Final = 2.0**20
"""Cells along an axis: float32 then has digits left for the place in a cell."""
_NUMBERS: Final = 62
"""Bits of a key."""
_ROUNDER = np.float32(1.5 * 2**23)
"""A float32 this large has no digits after the point: adding it and taking it away again rounds."""
_FIXED = np.float32(2**27)
_ZERO, _ONE, _SIXTH, _SIX = np.float32(0), np.float32(1), np.float32(1 / 6), np.float32(6)
_NETWORK = ((0, 5), (1, 3), (2, 4), (1, 2), (3, 4), (0, 3), (2, 5), (0, 1), (2, 3), (4, 5), (1, 2), (3, 4))
"""Comparisons that sort six values."""


class Geometry(NamedTuple):
    """How pixels are laid into a lattice.

    A lattice point has six coordinates that sum to 0 and leave one remainder when divided by six, so five
    numbers say where it is: a sixth of the differences to the last coordinate. Those, in a mixed base, are
    its key.

    Attributes:
        scales: float32, ``(5,)``: what x, y, red, green and blue are multiplied by.
        steps: int64, ``(6,)``: what a key grows by towards the neighbour along each axis.
        base: Key of the point whose numbers are all 0.
    """

    scales: NDArray[np.float32]
    steps: NDArray[np.int64]
    base: int


class Row(NamedTuple):
    """Room for the cells of one row of pixels.

    Attributes:
        keys: int64, ``(W,)``: the first corner of each cell.
        places: int32, ``(6, W)``: where in its cell a pixel is along each axis, in sixths of a cell times
            ``2**30``, sorted from above; the three lowest bits name the axis.
        rests: float32, ``(6, W)``: scratch.
        cells: int32, ``(6, W)``: scratch.
        ranks: int32, ``(7, W)``: scratch.
    """

    keys: NDArray[np.int64]
    places: NDArray[np.int32]
    rests: NDArray[np.float32]
    cells: NDArray[np.int32]
    ranks: NDArray[np.int32]


def geometry_of(width: int, height: int, xy: float, rgb: float) -> Geometry:
    """Returns how pixels are laid into a lattice.

    Args:
        width: Width of the image, pixels.
        height: Its height.
        xy: Standard deviation in place, pixels.
        rgb: Standard deviation in colour, 8-bit levels.

    Raises:
        InvalidInputError: The deviations are so small that there are more places than numbers.
    """
    order = np.arange(1, AXES)
    # The diagonal of E, and the deviation that the blur has by itself (pages 5 and 6 of the source).
    scales = np.sqrt(2 / 3) * AXES / np.sqrt(order * (order + 1)) / [xy, xy, rgb, rgb, rgb]
    extents = scales * [width, height, 255, 255, 255]
    lowest = -np.concatenate([[0], order[:4] * extents[:4]])
    highest = np.cumsum(extents[::-1])[::-1] + 5 * extents[4]
    # A corner is at most two cells away from its pixel, the corner's neighbour one more.
    low = np.floor(lowest / AXES) - 4
    sizes = np.ceil(highest / AXES) + 4 - low
    if not (sizes.max() < _LARGEST and np.log2(sizes).sum() < _NUMBERS):
        raise InvalidInputError(
            f"expected deviations that {width} x {height} pixels can be filtered with, "
            f"but got {xy:g} pixels and {rgb:g} levels; take larger ones"
        )
    strides = np.concatenate([[1], np.cumprod(sizes[:-1].astype(np.int64))])
    # Towards the neighbour all coordinates grow by one, but one, which makes up for them.
    steps = np.concatenate([-strides, [strides.sum()]])
    return Geometry(scales.astype(np.float32), steps, int(-(low.astype(np.int64) * strides).sum()))


@jit
def row_of(width: int) -> Row:
    """Returns room for the cells of a row."""
    return Row(
        np.empty(width, np.int64),
        np.empty((AXES, width), np.int32),
        np.empty((AXES, width), np.float32),
        np.empty((AXES, width), np.int32),
        np.empty((AXES + 1, width), np.int32),
    )


@jit
def find_cells(pixels: NDArray[np.uint8], y: int, geometry: Geometry, row: Row) -> None:
    """Finds the cells of a row of pixels.

    Args:
        pixels: uint8 RGB, ``(W, 3)``.
        y: Which row of the image they are.
        geometry: How pixels are laid into the lattice.
        row: Its keys and places are written.
    """
    _elevate(pixels, y, geometry.scales, row.rests)
    _round(row.rests, row.cells, row.ranks)
    _rank(row.rests, row.ranks)
    _settle(row, geometry)
    for first, second in _NETWORK:
        above, below = row.places[first], row.places[second]
        for x in range(len(pixels)):
            one, other = above[x], below[x]
            above[x], below[x] = max(one, other), min(one, other)


@jit
def _elevate(
    pixels: NDArray[np.uint8], y: int, scales: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Carries five features into the plane of six coordinates that sum to 0 (page 5 of the source)."""
    width = len(pixels)
    total = out[0]
    total[:] = _ZERO
    for j in range(5, 0, -1):
        here, scale, times = out[j], scales[j - 1], np.float32(j)
        if j > 2:
            for x in range(width):
                here[x] = np.float32(pixels[x, j - 3]) * scale
        elif j == 2:
            here[:] = np.float32(y) * scale
        else:
            for x in range(width):
                here[x] = np.float32(np.int32(x)) * scale
        for x in range(width):
            scaled = here[x]
            here[x] = total[x] - times * scaled
            total[x] += scaled


@jit
def _round(rests: NDArray[np.float32], cells: NDArray[np.int32], ranks: NDArray[np.int32]) -> None:
    """Finds the nearest multiples of six; the last row of the ranks is how far they are from summing to 0."""
    off = ranks[AXES]
    off[:] = 0
    for i in range(AXES):
        rest, cell = rests[i], cells[i]
        for x in range(len(off)):
            rounded = (rest[x] * _SIXTH + _ROUNDER) - _ROUNDER
            rest[x] -= rounded * _SIX
            cell[x] = np.int32(rounded)
            off[x] += np.int32(rounded)


@jit
def _rank(rests: NDArray[np.float32], ranks: NDArray[np.int32]) -> None:
    """Counts for every coordinate those whose rests are greater."""
    ranks[:AXES] = 0
    for i in range(AXES - 1):
        for j in range(i + 1, AXES):
            first, second, one, other = rests[i], rests[j], ranks[i], ranks[j]
            for x in range(len(first)):
                less = np.int32(first[x] < second[x])
                one[x] += less
                other[x] += np.int32(1) - less


@jit
def _settle(row: Row, geometry: Geometry) -> None:
    """Moves the coordinates that have to move for the sum to be 0, and writes the keys and the places."""
    off = row.ranks[AXES]
    row.keys[:] = geometry.base
    for i in range(AXES):
        rest, cell, rank, place = row.rests[i], row.cells[i], row.ranks[i], row.places[i]
        stride = -geometry.steps[i]
        for x in range(len(off)):
            moved = rank[x] + off[x]
            shift = np.int32(moved < 0) - np.int32(moved > 5)
            row.keys[x] += np.int64(cell[x] + shift) * stride
            share = (rest[x] * _SIXTH - np.float32(shift)) * _FIXED
            place[x] = np.int32(share) * np.int32(8) + np.int32(i)
