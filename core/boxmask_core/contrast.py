"""What GrabCut's energy asks for an edge between two pixels: the less they differ, the more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from boxmask_core.jit import jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAMMA = 50.0
UNITS = 128
"""Costs are integers, in units of 1 / 128: sums of them are exact in any order."""
_LARGEST = 3 * 255**2


@jit
def beta_of(image: NDArray[np.uint8]) -> float:
    """Returns 1 / (2 x the mean squared difference of neighbours), or 0 where all pixels are equal.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
    """
    height, width = image.shape[:2]
    total = 0
    for y in range(height):
        for x in range(width):
            if x + 1 < width:
                total += squared_difference(image, y, x, y, x + 1)
            if y + 1 < height:
                total += squared_difference(image, y, x, y + 1, x)
                if x > 0:
                    total += squared_difference(image, y, x, y + 1, x - 1)
                if x + 1 < width:
                    total += squared_difference(image, y, x, y + 1, x + 1)
    edges = 4 * height * width - 3 * height - 3 * width + 2
    return edges / (2.0 * total) if total > 0 else 0.0


@jit
def edge_costs(beta: float) -> NDArray[np.int32]:
    """Returns what an edge costs by the squared difference of its pixels.

    Args:
        beta: What `beta_of` returned.

    Returns:
        int32, ``(2, differences)``, in units of 1 / `UNITS`: `GAMMA` exp(-beta difference) for straight
        neighbours, the same over the square root of 2 for diagonal ones. What is beyond the end costs 0.
    """
    number = _LARGEST + 1
    if beta > 0:  # from where on even a straight edge is rounded to 0
        number = min(number, int(np.log(2 * GAMMA * UNITS) / beta) + 1)
    out = np.empty((2, number), dtype=np.int32)
    for difference in range(number):
        cost = GAMMA * UNITS * np.exp(-beta * difference)
        out[0, difference] = np.int32(np.rint(cost))
        out[1, difference] = np.int32(np.rint(cost / np.sqrt(2.0)))
    return out


@jit
def edge_cost(
    image: NDArray[np.uint8], costs: NDArray[np.int32], diagonal: int, y: int, x: int, v: int, u: int
) -> int:
    """Returns what the edge between the pixels at ``(y, x)`` and ``(v, u)``, neighbours, costs.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
        costs: What `edge_costs` returned.
        diagonal: 1 where they are diagonal neighbours, else 0.
        y: Row of the one pixel.
        x: Its column.
        v: Row of the other.
        u: Its column.
    """
    difference = squared_difference(image, y, x, v, u)
    return int(costs[diagonal, difference]) if difference < costs.shape[1] else 0


@jit
def squared_difference(image: NDArray[np.uint8], y: int, x: int, v: int, u: int) -> int:
    """Returns the squared distance of the colours at ``(y, x)`` and ``(v, u)``."""
    red = np.int32(image[y, x, 0]) - np.int32(image[v, u, 0])
    green = np.int32(image[y, x, 1]) - np.int32(image[v, u, 1])
    blue = np.int32(image[y, x, 2]) - np.int32(image[v, u, 2])
    return int(red * red + green * green + blue * blue)
