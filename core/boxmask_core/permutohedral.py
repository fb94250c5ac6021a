"""A permutohedral lattice: Gaussian filtering by place and colour, in time proportional to the pixels.

A pixel is a point in five dimensions: two of place, three of colour, each divided by its deviation. There
it lies in a cell with six corners. It gives its value to the corners (splat), every corner exchanges with
its neighbours along six axes (blur), and the pixel takes its value from the corners again (slice). What
comes of it is close to the sum over all pixels with Gaussian weights.

Source: Adams, Baek and Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice",
Eurographics 2010. Coordinates and order of axes are those of Kraehenbuehl's DenseCRF, so that the answers
agree to rounding. What is different, for speed: along an axis the points form runs. A run is blurred in
place, in one walk, and a point that has no neighbour there, as one in four, is not touched at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from boxmask_core.jit import jit
from boxmask_core.lattice_cells import AXES, geometry_of
from boxmask_core.lattice_points import NONE, points_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from boxmask_core.lattice_points import Points

_SPARE: Final = 64
"""Values behind those of the points that a blur scribbles on, one run after another: were there one, every
run would have to wait for the run before it."""
_ZERO, _HALF = np.float32(0), np.float32(0.5)


class Lattice(NamedTuple):
    """A lattice and the pixels in it.

    Attributes:
        size: Values that a plane of the lattice has: one per point, and some to spare.
        corners: uint32, ``(N, 6)``: the points that are the corners of each pixel's cell.
        weights: float32, ``(N, 6)``: a pixel's share in each; they sum to 1.
        runs: uint32, ``(6, R)``: for each axis its runs of two points and more, with a spare value before,
            after and between them.
        ends: int64, ``(6,)``: entries of each.
    """

    size: int
    corners: NDArray[np.uint32]
    weights: NDArray[np.float32]
    runs: NDArray[np.uint32]
    ends: NDArray[np.int64]


def lattice_of(image: NDArray[np.uint8], xy: float, rgb: float) -> Lattice:
    """Lays the pixels of an image into a lattice.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
        xy: Standard deviation in place, pixels.
        rgb: Standard deviation in colour, 8-bit levels.

    Raises:
        InvalidInputError: The deviations are too small for the lattice's points to be numbered.
    """
    height, width = image.shape[:2]
    geometry = geometry_of(width, height, xy, rgb)
    # A copy, for a view or a read-only array is another type to the compiler, which would begin anew.
    points, corners, weights = points_of(np.array(image, order="C"), geometry)
    size = len(points.keys)
    runs = np.empty((AXES, size + size // 2 + 2), np.uint32)
    return Lattice(size + _SPARE, corners, weights, runs, _write_runs(points, runs))


@jit
def filtered(lattice: Lattice, plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Filters one value per pixel; the weights are not normalised.

    Args:
        lattice: The pixels.
        plane: float32, ``(N,)``.

    Returns:
        float32, ``(N,)``.
    """
    values = np.zeros(lattice.size, np.float32)
    for pixel in range(len(plane)):
        splat(lattice, values, pixel, plane[pixel])
    blur(lattice, values)
    out = np.empty(len(plane), np.float32)
    for pixel in range(len(plane)):
        out[pixel] = sliced(lattice, values, pixel)
    return out


@jit
def splat(lattice: Lattice, values: NDArray[np.float32], pixel: int, value: np.float32) -> None:
    """Gives a pixel's value to the corners of its cell."""
    for k in range(AXES):
        values[lattice.corners[pixel, k]] += lattice.weights[pixel, k] * value


@jit
def sliced(lattice: Lattice, values: NDArray[np.float32], pixel: int) -> np.float32:
    """Returns what a pixel takes from the corners of its cell."""
    total = _ZERO
    for k in range(AXES):
        total += lattice.weights[pixel, k] * values[lattice.corners[pixel, k]]
    return total


@jit
def blur(lattice: Lattice, values: NDArray[np.float32]) -> None:
    """Adds to every value half of its neighbours' along one axis, then along the next.

    Args:
        lattice: Whose values they are.
        values: float32, ``(size,)``, changed in place.
    """
    points = np.uint32(lattice.size - _SPARE)
    for axis in range(AXES):
        run = lattice.runs[axis]
        before, here, point = _ZERO, _ZERO, run[0]
        for k in range(1, lattice.ends[axis]):
            other = run[k]
            after = values[other]
            after = after if other < points else _ZERO
            values[point] = here + _HALF * (before + after)
            before, here, point = here, after, other


@jit
def _write_runs(points: Points, runs: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Writes the runs of all axes, and returns how many entries each has."""
    size = len(points.keys)
    heads = np.empty(size + 1, np.uint32)
    ends = np.empty(AXES, np.int64)
    for axis in range(AXES):
        count = np.uint64(0)
        for i in range(size):
            heads[count] = i
            count += np.uint64((points.afters[i] & ~points.befores[i]) >> axis & 1)
        run, links = runs[axis], points.links[axis]
        run[0] = size
        end = np.uint64(1)
        for k in range(count):
            point = heads[k]
            while point != NONE:
                run[end] = point
                end += np.uint64(1)
                point = links[point]
            run[end] = size + (end & np.uint64(_SPARE - 1))
            end += np.uint64(1)
        ends[axis] = end
    return ends
