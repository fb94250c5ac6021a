"""Distributions in bins, against sorting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxmask_convert.result.distribution import BINS, Distribution


def _of(values: list[float]) -> Distribution:
    distribution = Distribution()
    for value in values:
        distribution.add(value)
    return distribution


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200), st.sampled_from([0.25, 0.5, 0.75]))
def test_quantiles_are_those_of_sorting_to_a_hundredth(values: list[float], share: float) -> None:
    exact = np.quantile(values, share, method="inverted_cdf")
    assert abs(_of(values).quantile(share) - exact) <= 1 / BINS + 1e-9


@given(st.lists(st.floats(0, 1), max_size=200))
def test_counts_and_mean_are_those_of_numpy(values: list[float]) -> None:
    distribution = _of(values)
    # A value such as 0.29 lies a rounding error below its edge in one way of binning and not in the other.
    near = sum(abs(value * 20 - round(value * 20)) < 1e-9 for value in values)
    expected = np.histogram(values, bins=20, range=(0, 1))[0]
    assert np.abs(np.array(distribution.counts(20)) - expected).sum() <= 2 * near
    assert sum(distribution.counts(10)) == distribution.count == len(values)
    assert distribution.mean == pytest.approx(np.mean(values) if values else 0.0)


def test_what_lies_outside_is_counted_at_the_end() -> None:
    assert _of([-0.1, 1.0, 1.2]).counts(2) == (1, 2)


def test_nothing_has_quantiles_of_zero() -> None:
    assert Distribution().quantile(0.5) == 0
