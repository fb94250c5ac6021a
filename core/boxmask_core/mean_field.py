"""Mean-field inference in a dense conditional random field, by filtering.

Every iteration takes from each pixel what all others believe (two filters), adds what the pixel itself was
seen to be, and normalises (a softmax). Three things make it fast, and change no probability by more than
about 0.0001:

* Beliefs sum to 1 and the filters are linear: what the last label gets is what all labels get together, which
  never changes, less what the others get. It needs no filtering.
* Beliefs settle soon. A pixel tells the lattice of a change when it has changed by `WORTH_TELLING` since it
  last did, which after three iterations few pixels have.
* A row of pixels is taken from the lattice, normalised and given back while it is in the nearest cache.

Source: Kraehenbuehl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials",
NIPS 2011, algorithm 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from boxmask_core.grid_gaussian import filter_row, grid_gaussian
from boxmask_core.jit import jit
from boxmask_core.lattice_cells import AXES
from boxmask_core.permutohedral import blur, filtered, lattice_of, sliced, splat
from boxmask_core.softmax import softmax_row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from boxmask_core.densecrf import DenseCrf
    from boxmask_core.grid_gaussian import GridGaussian
    from boxmask_core.permutohedral import Lattice

WORTH_TELLING = np.float32(1e-5)


def mean_field(
    image: NDArray[np.uint8], unary: NDArray[np.float32], settings: DenseCrf
) -> NDArray[np.float32]:
    """Infers the beliefs of all pixels.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
        unary: float32 logarithms of probabilities, C-contiguous, ``(L, H, W)``; overwritten.
        settings: The field.

    Returns:
        float32 beliefs, ``(L, H, W)``.

    Raises:
        InvalidInputError: The deviations are too small.
    """
    _, height, width = unary.shape
    lattice = lattice_of(image, settings.bilateral_xy, settings.bilateral_rgb)
    by_colour = normalise(lattice, np.float32(settings.bilateral_weight))
    by_place = grid_gaussian(height, width, settings.gaussian_xy, settings.gaussian_weight)
    return _infer(unary, settings.iterations, lattice, by_colour.reshape(height, width), by_place)


@jit
def normalise(lattice: Lattice, weight: np.float32) -> NDArray[np.float32]:
    """Normalises a lattice's filter symmetrically: its weights are changed.

    Args:
        lattice: The pixels.
        weight: What the filter is to be multiplied by.

    Returns:
        float32, ``(N,)``: what every pixel gets where all have 1.
    """
    ones = np.ones(len(lattice.weights), np.float32)
    sums = filtered(lattice, ones)
    for pixel in range(len(sums)):
        factor = np.sqrt(weight / sums[pixel])
        for k in range(AXES):
            lattice.weights[pixel, k] *= factor
    return filtered(lattice, ones)


@jit
def _infer(
    unary: NDArray[np.float32],
    iterations: int,
    lattice: Lattice,
    by_colour: NDArray[np.float32],
    by_place: GridGaussian,
) -> NDArray[np.float32]:
    labels, height, width = unary.shape
    free = labels - 1
    beliefs, others = np.empty_like(unary), np.empty_like(unary)
    told = np.zeros((free, height * width), np.float32)
    given = np.zeros((free, lattice.size), np.float32)
    blurred = np.empty_like(given)
    scores, room = np.empty((labels, width), np.float32), np.empty((2, width), np.float32)
    padded = np.zeros(width + 2 * (len(by_place.taps) - 1), np.float32)
    ones = np.ones((height, width), np.float32)
    for y in range(height):
        softmax_row(unary[:, y], beliefs, y, room)
        _tell(lattice, beliefs, y, told, given)
        filter_row(by_place, ones, y, padded, room[0])
        _add(unary[free, y], room[0])
        _add(unary[free, y], by_colour[y])
    for iteration in range(iterations):
        for label in range(free):
            blurred[label] = given[label]
            blur(lattice, blurred[label])
        for y in range(height):
            last = scores[free]
            last[:] = unary[free, y]
            for label in range(free):
                row = scores[label]
                filter_row(by_place, beliefs[label], y, padded, row)
                _take(lattice, blurred[label], y * width, row)
                _subtract(last, row)
                _add(row, unary[label, y])
            softmax_row(scores, others, y, room)
            if iteration + 1 < iterations:
                _tell(lattice, others, y, told, given)
        beliefs, others = others, beliefs
    return beliefs


@jit
def _tell(
    lattice: Lattice,
    beliefs: NDArray[np.float32],
    y: int,
    told: NDArray[np.float32],
    given: NDArray[np.float32],
) -> None:
    """Gives the lattice what has changed in a row of pixels."""
    width = beliefs.shape[2]
    for label in range(len(given)):
        row, known, values = beliefs[label, y], told[label, y * width : (y + 1) * width], given[label]
        for x in range(width):
            change = row[x] - known[x]
            if abs(change) > WORTH_TELLING:
                known[x] = row[x]
                splat(lattice, values, y * width + x, change)


@jit
def _take(lattice: Lattice, values: NDArray[np.float32], start: int, row: NDArray[np.float32]) -> None:
    for x in range(len(row)):
        row[x] += sliced(lattice, values, start + x)


@jit
def _add(row: NDArray[np.float32], other: NDArray[np.float32]) -> None:
    for x in range(len(row)):
        row[x] += other[x]


@jit
def _subtract(row: NDArray[np.float32], other: NDArray[np.float32]) -> None:
    for x in range(len(row)):
        row[x] -= other[x]
