"""Linear interpolation between the centres of evenly spread cells, one axis at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Between:
    """Where pixels lie between cells, along one axis.

    Attributes:
        low: The cell before each pixel.
        high: The cell after it.
        weight: The latter's share, float32, 0 to 1.
    """

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    weight: NDArray[np.float32]

    def part(self, pixels: slice) -> tuple[Between, int, int]:
        """Returns some of the pixels, their first cell, from which theirs are counted, and their last."""
        low, high = self.low[pixels], self.high[pixels]
        first, last = int(low[0]), int(high[-1])
        return Between(low - first, high - first, self.weight[pixels]), first, last


def between_cells(pixels: int, shown: int, padded: int, cells: int) -> Between:
    """Places the pixels of an image between the cells of a canvas that shows it.

    Beyond the centre of the first and of the last cell, pixels lie on it.

    Args:
        pixels: Pixels of the image along the axis.
        shown: Pixels that the image has on the canvas, from the canvas's start.
        padded: Pixels of the canvas.
        cells: Cells that cover the canvas.
    """
    centres = (np.arange(pixels) + 0.5) * (shown / pixels) * (cells / padded) - 0.5
    centres = centres.clip(0, cells - 1)
    low = np.floor(centres).astype(np.intp)
    return Between(low, np.minimum(low + 1, cells - 1), (centres - low).astype(np.float32))


def interpolated(values: NDArray[np.float32], between: Between, axis: int) -> NDArray[np.float32]:
    """Returns the values of the pixels along one axis.

    Args:
        values: float32 values of the cells, ``(C, H, W)``.
        between: Where the pixels lie.
        axis: 1 or 2.
    """
    before = values.take(between.low, axis=axis)
    out = values.take(between.high, axis=axis)
    out -= before
    out *= between.weight[:, None] if axis == 1 else between.weight
    out += before
    return out
