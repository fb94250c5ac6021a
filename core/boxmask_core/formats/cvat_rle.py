"""CVAT's run-length encoding of a mask's crop: along the rows, the first run is background."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from boxmask_core.errors import InvalidMaskError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def row_runs(pixels: NDArray[np.bool_]) -> list[int]:
    """Returns the lengths of the runs of a bool array, row by row; the first, which may be 0, is of False."""
    flat = pixels.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate([[0], changes, [flat.size]])
    runs: list[int] = np.diff(edges).tolist()
    return [0, *runs] if flat[0] else runs


def pixels_of_runs(runs: Sequence[int], width: int, height: int) -> NDArray[np.bool_]:
    """Returns the pixels of a crop, bool ``(height, width)``.

    Raises:
        InvalidMaskError: The runs do not fit the size.
    """
    if min(runs, default=0) < 0 or sum(runs) != width * height or width <= 0 or height <= 0:
        raise InvalidMaskError("RLE", f"its runs must be positive and sum to {height} x {width} pixels")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(height, width)
