"""The compiled lattice and the mean field on it, where the sum over all pairs is not taken instead."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxmask_core.densecrf import DEEPLAB_V2, DenseCrf
from boxmask_core.errors import InvalidInputError

pytest.importorskip("numba", reason="the extra local is not installed")

from typing import TYPE_CHECKING

from boxmask_core.grid_gaussian import filter_row, grid_gaussian
from boxmask_core.mean_field import mean_field, normalise
from boxmask_core.permutohedral import filtered, lattice_of
from boxmask_core.softmax import exp

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALL = (9, 14)
SIZES = [(1, 1), (1, 13), (11, 1), (2, 2), (9, 14), (40, 37)]


def picture(size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """A blotchy image: colours that change slowly, with noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-size[0] // 4), -(-size[1] // 4), 3))
    fine = coarse.repeat(4, axis=0).repeat(4, axis=1)[: size[0], : size[1]]
    return np.asarray(np.clip(fine + rng.integers(-6, 7, fine.shape), 0, 255), dtype=np.uint8)


def unary(size: tuple[int, int], labels: int, seed: int = 0) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).dirichlet(np.full(labels, 0.5), size).transpose(2, 0, 1)
    return np.log(np.maximum(drawn, 1e-5), dtype=np.float32, order="C")


def matrix_of_lattice(image: NDArray[np.uint8], xy: float, rgb: float) -> NDArray[np.float64]:
    """The filter as a matrix: column j is what a 1 at pixel j gives."""
    lattice = lattice_of(image, xy, rgb)
    pixels = image.shape[0] * image.shape[1]
    return np.stack([filtered(lattice, row) for row in np.eye(pixels, dtype=np.float32)], axis=1).astype(
        float
    )


def matrix_of_grid(size: tuple[int, int], deviation: float, weight: float) -> NDArray[np.float64]:
    height, width = size
    kernel = grid_gaussian(height, width, deviation, weight)
    room = np.zeros(width + 2 * (len(kernel.taps) - 1), np.float32)
    columns = []
    for plane in np.eye(height * width, dtype=np.float32).reshape(-1, height, width):
        out = np.empty((height, width), np.float32)
        for y in range(height):
            filter_row(kernel, plane, y, room, out[y])
        columns.append(out.ravel())
    return np.stack(columns, axis=1).astype(float)


def gaussian(image: NDArray[np.uint8], xy: float, rgb: float) -> NDArray[np.float64]:
    """The kernel that the filters stand for, in float64; one of place alone where ``rgb`` is infinite."""
    places = np.indices(image.shape[:2]).reshape(2, -1).T / xy
    features = np.hstack([places, image.reshape(-1, 3) / rgb])
    return np.asarray(np.exp(-((features[:, None] - features[None]) ** 2).sum(axis=-1) / 2))


def normalised(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    roots = np.sqrt(kernel.sum(axis=1))
    return np.asarray(kernel / roots / roots[:, None])


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(scores - scores.max(axis=0))
    return np.asarray(powers / powers.sum(axis=0))


@pytest.mark.parametrize("labels", [1, 2, 3, 21])
@pytest.mark.parametrize("size", SIZES)
def test_the_mean_field_is_that_of_the_filters_matrices(size: tuple[int, int], labels: int) -> None:
    image, seen = picture(size), unary(size, labels)
    field = DenseCrf(iterations=10, bilateral_xy=8.0, bilateral_rgb=12.0)
    raw = matrix_of_lattice(image, 8.0, 12.0)
    roots = np.sqrt(raw.sum(axis=1))
    pairs = 4 * raw / roots / roots[:, None] + matrix_of_grid(size, 1.0, 3.0)
    flat = seen.reshape(labels, -1).astype(float)
    expected = softmax(flat)
    for _ in range(field.iterations):
        expected = softmax(flat + expected @ pairs.T)
    found = mean_field(image, seen.copy(), field)
    np.testing.assert_allclose(found.reshape(labels, -1), expected, atol=1e-3)


@pytest.mark.parametrize("deviation", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("size", SIZES[:-1])
def test_the_kernel_of_place_is_the_sum_over_all_pairs(size: tuple[int, int], deviation: float) -> None:
    expected = 3 * normalised(gaussian(picture(size), deviation, np.inf))
    np.testing.assert_allclose(matrix_of_grid(size, deviation, 3.0), expected, atol=1e-3)


def test_the_kernel_of_colour_is_near_the_gaussian() -> None:
    image = picture((20, 20))
    found = normalised(matrix_of_lattice(image, 8.0, 12.0))
    expected = normalised(gaussian(image, 8.0, 12.0))
    belief = np.random.default_rng(1).dirichlet(np.ones(3), 400)
    difference = np.abs(found @ belief - expected @ belief)
    assert difference.mean() < 0.03
    assert difference.mean() < 0.2 * np.abs(expected @ belief - expected @ np.full_like(belief, 1 / 3)).mean()


def test_the_kernel_of_colour_is_nearly_symmetric() -> None:
    # Not quite: the axes are blurred one after another, and where points are missing their order tells.
    kernel = matrix_of_lattice(picture((20, 20)), 8.0, 12.0)
    assert np.abs(kernel - kernel.T).mean() < 0.1 * np.abs(kernel).mean()  # 0.054


def test_the_shares_of_a_pixel_sum_to_one() -> None:
    lattice = lattice_of(picture((40, 37)), 67.0, 3.0)
    assert lattice.weights.min() >= -1e-6
    np.testing.assert_allclose(lattice.weights.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_pixels_of_one_colour_and_wide_deviations_are_all_neighbours(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 77, np.uint8)
    lattice = lattice_of(image, 1e4, 3.0)
    by_colour = normalise(lattice, np.float32(1))
    np.testing.assert_allclose(by_colour, 1, atol=1e-3)
    plane = np.random.default_rng(0).random(image.shape[0] * image.shape[1], dtype=np.float32)
    np.testing.assert_allclose(filtered(lattice, plane), plane.mean(), atol=2e-3)


def test_points_are_found_again_when_the_table_grows() -> None:
    # Noise: nearly every pixel brings six points of its own, three times what the table starts with.
    noise = np.random.default_rng(2).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    lattice = lattice_of(noise, 67.0, 3.0)
    assert lattice.size > 4 * 3000
    assert lattice.corners.max() < lattice.size
    for k in range(6):  # corners of one cell differ
        assert (lattice.corners[:, k] != lattice.corners[:, (k + 1) % 6]).all()
    alone = filtered(lattice, np.ones(3000, np.float32))
    assert np.isfinite(alone).all()
    assert (alone > 0).all()


@pytest.mark.parametrize(("xy", "rgb"), [(1e-9, 3.0), (67.0, 1e-6), (1e-4, 1e-3)])
def test_deviations_that_are_too_small_for_a_lattice_are_refused(xy: float, rgb: float) -> None:
    with pytest.raises(InvalidInputError, match=r"but got .* levels; take larger ones"):
        lattice_of(picture((20, 30)), xy, rgb)


def test_a_kernel_without_weight_leaves_pixels_alone() -> None:
    seen = unary((40, 37), 3)
    alone = dataclasses.replace(DEEPLAB_V2, gaussian_weight=0.0, bilateral_weight=0.0)
    found = mean_field(picture((40, 37)), seen.copy(), alone)
    np.testing.assert_allclose(found, np.exp(seen) / np.exp(seen).sum(axis=0), atol=1e-5)


def test_threads_and_repetition_change_no_bit() -> None:
    image = picture((60, 80))
    expected = mean_field(image, unary((60, 80), 4), DEEPLAB_V2)
    with ThreadPoolExecutor(2) as pool:
        runs = pool.map(lambda _: mean_field(image, unary((60, 80), 4), DEEPLAB_V2), range(6))
    assert all((found == expected).all() for found in runs)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 6),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([0.0, 0.02, 1.0]),
)
def test_whatever_the_pixels_the_lattice_gives_probabilities(
    seed: int, labels: int, height: int, width: int, noise: float
) -> None:
    rng = np.random.default_rng(seed)
    image = (rng.integers(0, 256, 3) + noise * rng.integers(-128, 128, (height, width, 3))) % 256
    found = mean_field(image.astype(np.uint8), unary((height, width), labels, seed), DEEPLAB_V2)
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


def test_the_exponential_is_numpys() -> None:
    powers = np.linspace(-60, 60, 2001, dtype=np.float32)
    found = np.array([exp(power) for power in powers])
    np.testing.assert_allclose(found, np.exp(powers.astype(float)), rtol=3e-7)
    assert exp(np.float32(-1e30)) > 0
    assert np.isfinite(exp(np.float32(1e30)))
