from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxmask_core.boxes import Window
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.quality import STAND_INS, score, tightness

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW = Window(10, 20, 18, 26)
SHAPE = (6, 8)


def _proposal(mask: NDArray[np.generic], fallback: Fallback = Fallback.NONE) -> Proposal:
    return Proposal(WINDOW, mask.astype(np.bool_), fallback)


def test_a_mask_that_touches_all_four_sides_is_tight() -> None:
    ring = np.zeros(SHAPE)
    ring[0] = ring[-1] = ring[:, 0] = ring[:, -1] = 1
    assert tightness(ring.astype(np.bool_)) == 1.0


def test_tightness_is_the_share_of_the_box_that_the_masks_own_box_covers() -> None:
    mask = np.zeros(SHAPE, dtype=np.bool_)
    mask[2, 1] = mask[4, 6] = True
    assert tightness(mask) == pytest.approx(3 * 6 / 48)


def test_an_empty_mask_is_worth_nothing() -> None:
    assert tightness(np.zeros(SHAPE, dtype=np.bool_)) == 0.0
    assert score(_proposal(np.zeros(SHAPE))) == 0.0


@pytest.mark.parametrize("fallback", sorted(STAND_INS))
def test_a_box_that_stands_in_for_a_mask_scores_zero(fallback: Fallback) -> None:
    assert score(_proposal(np.ones(SHAPE), fallback)) == 0.0


def test_certainty_and_agreement_are_multiplied() -> None:
    refined = np.zeros(SHAPE)
    refined[:, :6] = 1
    cfs = np.ones(SHAPE)
    probability = np.full((10, 12), 0.5, dtype=np.float32)
    probability[2:8, 2:10] = 0.9
    value = score(
        _proposal(refined), cfs=_proposal(cfs), probability=probability, window=Window(8, 18, 20, 28)
    )
    assert value == pytest.approx((36 / 48) * 0.8, abs=1e-6)


def test_without_a_network_the_score_is_tightness() -> None:
    mask = np.zeros(SHAPE)
    mask[2:4, :] = 1
    assert score(_proposal(mask)) == pytest.approx(2 / 6)


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_the_score_lies_between_zero_and_one(seed: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    mask, cfs = rng.random((2, *SHAPE)) < density
    probability = rng.random(SHAPE).astype(np.float32)
    assert 0 <= score(_proposal(mask), cfs=_proposal(cfs), probability=probability, window=WINDOW) <= 1
