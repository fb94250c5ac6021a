from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from boxmask_core.colour_models import (
    COMPONENTS,
    NOISE,
    TRIALS,
    ColourModel,
    clusters,
    learn,
    likeliest,
    log_densities,
    log_likelihood,
)
from boxmask_core.colour_table import BITS, colour_table, counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Counts = NDArray[np.int64]
    Sample = tuple[Floats, Counts, Counts]


@pytest.fixture
def sample() -> Sample:
    """Colours, their counts and their components: five clouds, and a few colours of no pixel."""
    rng = np.random.default_rng(1)
    component = rng.integers(0, COMPONENTS, 400)
    centres = rng.uniform(40, 215, (COMPONENTS, 3))
    spread = rng.uniform(-6, 6, (COMPONENTS, 3, 3))
    noise = np.einsum("nab,nb->na", spread[component], rng.normal(size=(400, 3)))
    return centres[component] + noise, rng.integers(0, 30, 400), component


def reference(colours: Floats, counts: Counts, component: Counts) -> tuple[Floats, Floats]:
    """Log density of each component, and log weight, by NumPy and SciPy from single pixels."""
    pixels, owner = np.repeat(colours, counts, axis=0), np.repeat(component, counts)
    densities, weights = [], []
    for k in range(COMPONENTS):
        own = pixels[owner == k]
        covariance = np.cov(own.T, bias=True) + NOISE * np.eye(3)
        densities.append(multivariate_normal(own.mean(axis=0), covariance).logpdf(colours))
        weights.append(np.log(len(own) / len(pixels)))
    return np.asarray(densities), np.asarray(weights)


def test_the_densities_are_those_of_gaussians_fitted_to_the_pixels(sample: Sample) -> None:
    expected, weights = reference(*sample)
    model = learn(*sample)
    np.testing.assert_allclose(model.log_weights, weights, rtol=1e-12)
    np.testing.assert_allclose(log_densities(model, sample[0]), expected, rtol=1e-6)


def test_the_likelihood_is_that_of_the_mixture(sample: Sample) -> None:
    densities, weights = reference(*sample)
    model = learn(*sample)
    expected = logsumexp(densities + weights[:, None], axis=0)
    np.testing.assert_allclose(log_likelihood(model, log_densities(model, sample[0])), expected, rtol=1e-4)


def test_the_likeliest_component_is_the_densest_whatever_its_weight(sample: Sample) -> None:
    densities, _ = reference(*sample)
    np.testing.assert_array_equal(
        likeliest(log_densities(learn(*sample), sample[0])), densities.argmax(axis=0)
    )


def test_k_means_finds_clouds_that_lie_apart() -> None:
    rng = np.random.default_rng(2)
    centres = np.array([[30, 30, 30], [220, 30, 30], [30, 220, 30], [30, 30, 220], [220, 220, 220]])
    truth = np.arange(200) % COMPONENTS
    colours = centres[truth] + rng.uniform(-15, 15, (200, 3))
    component = clusters(colours, np.ones(200, dtype=np.int64), rng.random((COMPONENTS, TRIALS)))
    pairs = set(zip(truth.tolist(), component.tolist(), strict=True))
    assert len(pairs) == COMPONENTS


def test_k_means_counts_a_colour_as_often_as_it_has_pixels() -> None:
    rng = np.random.default_rng(3)
    colours = rng.uniform(0, 255, (60, 3))
    counts = rng.integers(0, 9, 60)
    draws = rng.random((COMPONENTS, TRIALS))
    spread_out = clusters(np.repeat(colours, counts, axis=0), np.ones(counts.sum(), dtype=np.int64), draws)
    together = clusters(colours, counts, draws)
    np.testing.assert_array_equal(spread_out, np.repeat(together, counts))


@pytest.mark.parametrize("number", [1, 2, 4])
def test_fewer_colours_than_components_leave_components_empty(number: int) -> None:
    colours = np.linspace(0, 255, number)[:, None] * np.ones(3)
    counts = np.full(number, 10, dtype=np.int64)
    component = clusters(
        colours, counts, np.linspace(0, 0.999, COMPONENTS * TRIALS).reshape(COMPONENTS, TRIALS)
    )
    assert sorted(component.tolist()) == list(range(number))
    model = learn(colours, counts, component)
    assert np.isneginf(model.log_weights).sum() == COMPONENTS - number
    likelihood = log_likelihood(model, log_densities(model, colours))
    peak = -0.5 * 3 * np.log(2 * np.pi * NOISE) - np.log(number)
    np.testing.assert_allclose(likelihood, peak, rtol=1e-6)


def test_a_colour_far_from_all_components_has_a_finite_likelihood() -> None:
    colours = np.array([[0.0, 0.0, 0.0], [255.0, 255.0, 255.0]])
    model = learn(colours, np.array([5, 0]), np.array([0, 0]))
    likelihood = log_likelihood(model, log_densities(model, colours))
    assert np.isfinite(likelihood).all()
    assert likelihood[1] == pytest.approx(-0.5 * 3 * (255**2 / NOISE + np.log(2 * np.pi * NOISE)))


def test_a_flat_cloud_has_a_density() -> None:
    colours = np.stack([np.arange(50.0), 2 * np.arange(50.0), np.full(50, 7.0)], axis=1)
    model = learn(colours, np.ones(50, dtype=np.int64), np.zeros(50, dtype=np.int64))
    assert isinstance(model, ColourModel)
    assert np.isfinite(log_likelihood(model, log_densities(model, colours))).all()


def test_pixels_of_one_cube_share_a_row_under_their_mean() -> None:
    image = np.random.default_rng(5).integers(0, 256, (20, 30, 3), dtype=np.uint8) // 3
    table = colour_table(image)
    cubes = image.reshape(-1, 3) >> (8 - BITS)
    _, inverse, number = np.unique(cubes, axis=0, return_inverse=True, return_counts=True)
    rows = table.rows.ravel()
    assert len(table.colours) == len(number)
    assert len(set(zip(rows.tolist(), inverse.ravel().tolist(), strict=True))) == len(number)
    for row in range(len(number)):
        mean = image.reshape(-1, 3)[rows == row].mean(axis=0)
        np.testing.assert_allclose(table.colours[row], mean, rtol=1e-12)


def test_pixels_are_counted_by_colour_and_label() -> None:
    rng = np.random.default_rng(6)
    image = rng.integers(0, 20, (9, 11, 3), dtype=np.uint8)
    labels = rng.integers(0, 4, (9, 11), dtype=np.uint8)
    table = colour_table(image)
    counts = counted(table, labels)
    for side in (0, 1):
        expected = np.bincount(table.rows[labels % 2 == side], minlength=len(table.colours))
        np.testing.assert_array_equal(counts[side], expected)
