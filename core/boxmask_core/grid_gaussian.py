"""A Gaussian of place over all pixels of an image, normalised symmetrically. It is a product of two.

Pixels lie on a grid, so the sum over all of them is one over a column, then one over a row: exact, where a
lattice would come close. Beyond four deviations the weight is below 0.0004 and left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from boxmask_core.jit import jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REACH: Final = 4
_ZERO = np.float32(0)


class GridGaussian(NamedTuple):
    """The kernel.

    Attributes:
        taps: float32, ``(R + 1,)``: weight by distance.
        down: float32, ``(H,)``: what a pixel's row multiplies it by, before and after.
        across: float32, ``(W,)``: likewise, its column.
    """

    taps: NDArray[np.float32]
    down: NDArray[np.float32]
    across: NDArray[np.float32]


def grid_gaussian(height: int, width: int, deviation: float, weight: float) -> GridGaussian:
    """Returns the kernel of an image, all of it multiplied by a weight.

    Args:
        height: Height of the image, pixels.
        width: Its width.
        deviation: Standard deviation, pixels.
        weight: What the kernel is multiplied by.
    """
    radius = min(int(np.ceil(_REACH * deviation)), max(height, width) - 1)
    taps = np.exp(-((np.arange(radius + 1) / deviation) ** 2) / 2)
    both = np.concatenate([taps[:0:-1], taps])
    # The weight is spread over the four factors that every pair of pixels meets.
    down, across = (
        weight**0.25 / np.sqrt(np.convolve(np.ones(side), both)[radius : radius + side])
        for side in (height, width)
    )
    return GridGaussian(taps.astype(np.float32), down.astype(np.float32), across.astype(np.float32))


@jit
def filter_row(
    kernel: GridGaussian,
    plane: NDArray[np.float32],
    y: int,
    room: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Filters one row of a plane.

    Args:
        kernel: The kernel.
        plane: float32, ``(H, W)``.
        y: The row.
        room: float32, ``(W + 2 R,)``: scratch whose R values at either end are 0.
        out: float32, ``(W,)``, written.
    """
    height, width = plane.shape
    taps, down, across = kernel.taps, kernel.down, kernel.across
    radius = len(taps) - 1
    inner, row = room[radius : radius + width], plane[y]
    factor = taps[0] * down[y]
    for x in range(width):
        inner[x] = row[x] * factor
    for k in range(1, radius + 1):
        above, below = plane[max(y - k, 0)], plane[min(y + k, height - 1)]
        one = taps[k] * down[y - k] if y >= k else _ZERO
        other = taps[k] * down[y + k] if y + k < height else _ZERO
        for x in range(width):
            inner[x] += above[x] * one + below[x] * other
    for x in range(width):
        inner[x] *= across[x]
        out[x] = inner[x]
    for k in range(1, radius + 1):
        left, right = room[radius - k : radius - k + width], room[radius + k : radius + k + width]
        factor = taps[k]
        for x in range(width):
            out[x] += (left[x] + right[x]) * factor
    factor = down[y]
    for x in range(width):
        out[x] *= across[x] * factor
