from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from boxmask_core.boxes import Window
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.rivalry import RIVALS, rivalries

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 30


def _proposal(x: int, y: int, mask: NDArray[np.bool_]) -> Proposal:
    height, width = mask.shape
    return Proposal(Window(x, y, x + width, y + height), mask, Fallback.NONE)


def _random(rng: np.random.Generator, count: int) -> list[Proposal]:
    corners = rng.integers(0, SIDE - 6, (count, 2))
    sides = rng.integers(1, 12, (count, 2))
    return [
        _proposal(int(x), int(y), rng.random((min(h, SIDE - y), min(w, SIDE - x))) < 0.7)
        for (x, y), (w, h) in zip(corners, sides, strict=True)
    ]


def _on_image(proposal: Proposal) -> NDArray[np.bool_]:
    full = np.zeros((SIDE, SIDE), dtype=np.bool_)
    full[proposal.window.slices()] = proposal.mask
    return full


def _by_brute_force(proposals: list[Proposal]) -> list[float]:
    full = np.array([_on_image(proposal).ravel() for proposal in proposals], dtype=np.int64)
    both = full @ full.T
    areas = full.sum(axis=1)
    ious = both / np.maximum(areas[:, None] + areas - both, 1)
    np.fill_diagonal(ious, 0)
    return [float(value) for value in ious.max(axis=1)]


@pytest.mark.parametrize("seed", range(20))
def test_rivalry_is_the_largest_iou_with_another_mask(seed: int) -> None:
    proposals = _random(np.random.default_rng(seed), RIVALS + 1)
    assert rivalries(proposals) == pytest.approx(_by_brute_force(proposals), abs=1e-12)


def test_of_many_masks_those_that_could_overlap_most_are_compared() -> None:
    rng = np.random.default_rng(3)
    proposals = _random(rng, 60)
    found, true = np.array(rivalries(proposals)), np.array(_by_brute_force(proposals))
    assert (found <= true + 1e-12).all()
    assert np.mean(np.isclose(found, true)) > 0.95


def test_a_mask_that_is_asked_for_twice_is_its_own_rival() -> None:
    twice = _proposal(3, 4, np.ones((5, 6), dtype=np.bool_))
    assert rivalries([twice, twice]) == [1.0, 1.0]


def test_masks_that_only_touch_have_no_rival() -> None:
    block = np.ones((4, 4), dtype=np.bool_)
    assert rivalries([_proposal(0, 0, block), _proposal(4, 0, block), _proposal(0, 4, block)]) == [0.0] * 3


def test_boxes_that_overlap_are_no_rivals_where_their_masks_do_not() -> None:
    left = np.zeros((4, 4), dtype=np.bool_)
    left[:, :2] = True
    assert rivalries([_proposal(0, 0, left), _proposal(0, 0, ~left)]) == [0.0, 0.0]


def test_no_mask_one_mask_and_empty_masks_have_no_rival() -> None:
    empty = _proposal(0, 0, np.zeros((3, 3), dtype=np.bool_))
    assert rivalries([]) == []
    assert rivalries([_proposal(0, 0, np.ones((3, 3), dtype=np.bool_))]) == [0.0]
    assert rivalries([empty, empty]) == [0.0, 0.0]
