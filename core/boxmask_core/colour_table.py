"""The colours of a picture, each once.

GrabCut's models describe where colours lie, not pixels: pixels of nearly one colour share a row of a table,
and are learned from and asked about together, weighted by their number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from boxmask_core.jit import jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

BITS = 6
"""Bits of a channel that tell two colours apart: 4 levels of 256 are one. Measured on 110 images of VOC's
`train`, coarse proposals, two seeds: with 5 bits 0.9 mIoU-7 less, in four fifths of the time."""


class ColourTable(NamedTuple):
    """The colours of a picture.

    Attributes:
        rows: int32, ``(H, W)``: each pixel's row of the table.
        colours: float64 RGB, 0 to 255, ``(colours, 3)``: the mean of the row's pixels.
    """

    rows: NDArray[np.int32]
    colours: NDArray[np.float64]


@jit
def colour_table(image: NDArray[np.uint8]) -> ColourTable:
    """Sorts the pixels of an image into cubes of the colour space; a cube that has pixels is a row.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
    """
    height, width = image.shape[:2]
    places = np.full(1 << (3 * BITS), -1, dtype=np.int32)
    rows = np.empty((height, width), dtype=np.int32)
    sums = np.zeros((min(places.size, height * width), 4), dtype=np.int64)
    found = 0
    for y in range(height):
        for x in range(width):
            red, green, blue = np.int32(image[y, x, 0]), np.int32(image[y, x, 1]), np.int32(image[y, x, 2])
            cube = (red >> (8 - BITS)) << (2 * BITS) | (green >> (8 - BITS)) << BITS | blue >> (8 - BITS)
            row = places[cube]
            if row < 0:
                row = places[cube] = found
                found += 1
            rows[y, x] = row
            sums[row, 0] += red
            sums[row, 1] += green
            sums[row, 2] += blue
            sums[row, 3] += 1
    colours = np.empty((found, 3), dtype=np.float64)
    for row in range(found):
        for channel in range(3):
            colours[row, channel] = sums[row, channel] / sums[row, 3]
    return ColourTable(rows, colours)


@jit
def counted(table: ColourTable, labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Returns the pixels of each colour, int64 ``(2, colours)``: background, then foreground.

    Args:
        table: The colours.
        labels: uint8, ``(H, W)``, odd for foreground.
    """
    counts = np.zeros((2, len(table.colours)), dtype=np.int64)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            counts[labels[y, x] & 1, table.rows[y, x]] += 1
    return counts
