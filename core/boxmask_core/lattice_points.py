"""The points of a permutohedral lattice that an image needs, and which of them are neighbours.

Points are numbered as the image's rows meet them, so that what is near in the image is near in memory. They
are found by their keys in a hash table of 32-bit entries: the point's number, and as many bits of the hash
as there is room for, so that another point is seldom taken for the one looked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from boxmask_core.jit import jit
from boxmask_core.lattice_cells import AXES, find_cells, row_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from boxmask_core.lattice_cells import Geometry

NONE = np.uint32(0xFFFFFFFF)
"""There is no neighbour."""

_SCATTER = np.int64(0x1E3779B97F4A7C15)
_BYTE, _BITS = np.uint32(3), np.uint32(7)
_ONE = np.float32(1)
_UNIT = np.float32(2.0**-30)
_AXIS = np.int32(7)


class Points(NamedTuple):
    """The points of a lattice.

    Attributes:
        keys: int64, ``(M,)``.
        links: uint32, ``(6, M)``: the next point along each axis, or `NONE`.
        befores: uint8, ``(M,)``: bit a is set if there is a point before this one along axis a.
        afters: uint8, ``(M,)``: likewise, after it.
    """

    keys: NDArray[np.int64]
    links: NDArray[np.uint32]
    befores: NDArray[np.uint8]
    afters: NDArray[np.uint8]


class Table(NamedTuple):
    """A hash table from keys to points.

    Attributes:
        entries: uint32, a power of two of them: the point's number plus one below, bits of its hash above; 0
            where there is none.
        bits: Logarithm of their number.
        id_bits: Bits that a number takes.
    """

    entries: NDArray[np.uint32]
    bits: int
    id_bits: int


def points_of(
    image: NDArray[np.uint8], geometry: Geometry
) -> tuple[Points, NDArray[np.uint32], NDArray[np.float32]]:
    """Finds the points that the pixels of an image need.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
        geometry: How pixels are laid into the lattice.

    Returns:
        The points; uint32, ``(N, 6)``: those at the corners of each pixel's cell; float32, ``(N, 6)``: a
        pixel's share in each corner.
    """
    pixels = image.shape[0] * image.shape[1]
    most = pixels * AXES
    # Room for as many points as there can be: what is not written to takes no memory. NumPy asks for large
    # pages, which are worth a quarter of the time.
    points = Points(
        np.empty(most, np.int64),
        np.empty((AXES, most), np.uint32),
        np.empty(most, np.uint8),
        np.empty(most, np.uint8),
    )
    corners, weights = np.empty((pixels, AXES), np.uint32), np.empty((pixels, AXES), np.float32)
    bits = max((2 * pixels).bit_length(), 6)
    table = Table(np.zeros(1 << bits, np.uint32), bits, most.bit_length())
    size, table = _insert(image, geometry, points, corners, weights, table)
    points = Points(points.keys[:size], points.links[:, :size], points.befores[:size], points.afters[:size])
    _link(points, table, geometry.steps)
    return points, corners, weights


@jit
def _insert(
    image: NDArray[np.uint8],
    geometry: Geometry,
    points: Points,
    corners: NDArray[np.uint32],
    weights: NDArray[np.float32],
    table: Table,
) -> tuple[int, Table]:
    """Numbers the corners of all cells. Neighbours within a cell are linked: the rest is left to `_link`."""
    height, width = image.shape[:2]
    row = row_of(width)
    size = 0
    for y in range(height):
        find_cells(image[y], y, geometry, row)
        for x in range(width):
            pixel = y * width + x
            _weigh(row.places, x, weights[pixel])
            size = _insert_cell(
                row.keys[x], row.places, x, geometry.steps, points, size, corners[pixel], table
            )
            if 3 * size > 2 * len(table.entries):
                table = _wider(table, points.keys, size)
    return size, table


@jit
def _weigh(places: NDArray[np.int32], x: int, weights: NDArray[np.float32]) -> None:
    """Writes a pixel's barycentric coordinates (page 10 of the source of the lattice)."""
    last = np.float32(places[5, x] & ~_AXIS) * _UNIT
    weights[0] = _ONE + last - np.float32(places[0, x] & ~_AXIS) * _UNIT
    for k in range(1, AXES):
        here = np.float32(places[5 - k, x] & ~_AXIS) * _UNIT
        weights[k] = here - last
        last = here


@jit
def _insert_cell(
    key: int,
    places: NDArray[np.int32],
    x: int,
    steps: NDArray[np.int64],
    points: Points,
    size: int,
    corners: NDArray[np.uint32],
    table: Table,
) -> int:
    """Walks round the corners of a cell, one step along each axis, and returns how many points there are."""
    before = np.uint32(0)
    for k in range(AXES):
        axis = np.uint32(places[(AXES - k) % AXES, x] & _AXIS)
        if k > 0:
            key += steps[axis]
        slot = _slot(table, points.keys, key)
        if table.entries[slot] == 0:
            table.entries[slot] = _tag(table, key) | np.uint32(size + 1)
            points.keys[size] = key
            points.befores[size] = points.afters[size] = 0
            for a in range(AXES):
                points.links[a, size] = NONE
            size += 1
        corner = _number(table, slot)
        corners[k] = corner
        if k > 0:
            _join(points, axis, before, corner)
        before = corner
    _join(points, np.uint32(places[0, x] & _AXIS), before, corners[0])
    return size


@jit
def _join(points: Points, axis: np.uint32, before: np.uint32, after: np.uint32) -> None:
    points.links[axis, before] = after
    points.afters[before] |= np.uint8(1 << axis)
    points.befores[after] |= np.uint8(1 << axis)


@jit
def _link(points: Points, table: Table, steps: NDArray[np.int64]) -> None:
    """Links the neighbours that no cell has linked.

    Two in three are not there. A filter of bits says so without a look at the table, and those that it lets
    pass are collected first, so that the processor waits for many entries of the table at once.
    """
    keys = points.keys
    size = len(keys)
    mask = np.uint32(8 * len(table.entries) - 1)
    shift = 62 - (table.bits + 3)
    there = np.zeros(len(table.entries), np.uint8)
    for i in range(size):
        bit = np.uint32(keys[i] * _SCATTER >> shift) & mask
        there[bit >> _BYTE] |= np.uint8(1 << (bit & _BITS))
    likely = np.empty(AXES * size + 1, np.uint32)
    count = np.uint64(0)
    for axis in range(AXES):
        for i in range(size):
            bit = np.uint32((keys[i] + steps[axis]) * _SCATTER >> shift) & mask
            likely[count] = i
            count += np.uint64((there[bit >> _BYTE] >> (bit & _BITS)) & ~(points.afters[i] >> axis) & 1)
        for k in range(count):
            slot = _slot(table, keys, keys[likely[k]] + steps[axis])
            if table.entries[slot] != 0:
                _join(points, np.uint32(axis), likely[k], _number(table, slot))
        count = np.uint64(0)


@jit
def _slot(table: Table, keys: NDArray[np.int64], key: int) -> np.uint32:
    """Returns where in the table a key is, or would be."""
    tag = _tag(table, key)
    id_mask = np.uint32((1 << table.id_bits) - 1)
    mask = np.uint32(len(table.entries) - 1)
    slot = np.uint32(key * _SCATTER >> (62 - table.bits)) & mask
    while True:
        entry = table.entries[slot]
        if entry == 0 or ((entry & ~id_mask) == tag and keys[(entry & id_mask) - np.uint32(1)] == key):
            return slot
        slot = (slot + np.uint32(1)) & mask


@jit
def _tag(table: Table, key: int) -> np.uint32:
    return np.uint32((key * _SCATTER >> (30 - table.bits + table.id_bits)) << table.id_bits)


@jit
def _number(table: Table, slot: np.uint32) -> np.uint32:
    entry: np.uint32 = table.entries[slot]
    return (entry & np.uint32((1 << table.id_bits) - 1)) - np.uint32(1)


@jit
def _wider(table: Table, keys: NDArray[np.int64], size: int) -> Table:
    wider = Table(np.zeros(2 * len(table.entries), np.uint32), table.bits + 1, table.id_bits)
    for i in range(size):
        slot = _slot(wider, keys, keys[i])
        wider.entries[slot] = _tag(wider, keys[i]) | np.uint32(i + 1)
    return wider
