from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxmask_core.boxes import Box, Window
from boxmask_core.grabcut import Fallback, Proposal, filled_box
from boxmask_core.quality import (
    STAND_INS,
    WITH_NETWORK,
    WITHOUT_NETWORK,
    Signals,
    measured,
    score,
    separation,
    tightness,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW = Window(10, 20, 18, 26)
BOX = Box(10, 20, 18, 26)
SHAPE = (6, 8)
GOOD = Signals(0.97, 0.98, 1.0, 0.6, 1, 0.8, 0.0)
WITHOUT = replace(GOOD, certainty=None, agreement=None)


def _proposal(mask: NDArray[np.generic], fallback: Fallback = Fallback.NONE) -> Proposal:
    return Proposal(WINDOW, mask.astype(np.bool_), fallback)


def _scene(mask: NDArray[np.generic], object_colour: int, other_colour: int) -> NDArray[np.uint8]:
    image = np.full((40, 40, 3), other_colour, dtype=np.uint8)
    image[WINDOW.slices()][mask.astype(np.bool_)] = object_colour
    return image


def _half() -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, dtype=np.bool_)
    mask[:, :4] = True
    return mask


def test_a_mask_that_touches_all_four_sides_is_tight() -> None:
    ring = np.zeros(SHAPE)
    ring[0] = ring[-1] = ring[:, 0] = ring[:, -1] = 1
    assert tightness(ring.astype(np.bool_)) == 1.0


def test_tightness_is_the_share_of_the_box_that_the_masks_own_box_covers() -> None:
    mask = np.zeros(SHAPE, dtype=np.bool_)
    mask[2, 1] = mask[4, 6] = True
    assert tightness(mask) == pytest.approx(3 * 6 / 48)


def test_what_is_measured_is_what_the_definitions_say() -> None:
    refined = np.zeros(SHAPE)
    refined[:, :6] = 1
    refined[:, 2] = 0  # two parts
    probability = np.full((10, 12), 0.5, dtype=np.float32)
    probability[2:8, 2:10] = 0.9
    signals = measured(
        _scene(refined, 200, 0),
        BOX,
        _proposal(refined),
        probability=probability,
        window=Window(8, 18, 20, 28),
    )
    assert signals.certainty == pytest.approx(0.8, abs=1e-6)
    assert signals.agreement == pytest.approx(30 / 48)
    assert signals.tightness == pytest.approx(36 / 48)
    assert signals.fill == pytest.approx(30 / 48)
    assert signals.parts == 2
    assert signals.separation == 1.0
    assert signals.rivalry == 0.0


def test_parts_that_touch_at_a_corner_are_one() -> None:
    mask = np.zeros(SHAPE)
    mask[0, 0] = mask[1, 1] = mask[5, 7] = 1
    assert measured(_scene(mask, 9, 9), BOX, _proposal(mask)).parts == 2


def test_without_a_network_nothing_is_said_of_it() -> None:
    signals = measured(_scene(_half(), 200, 0), BOX, _proposal(_half()))
    assert (signals.certainty, signals.agreement) == (None, None)


def test_an_object_of_its_own_colours_stands_out_and_one_of_its_surroundings_does_not() -> None:
    assert separation(_scene(_half(), 255, 0), BOX, _proposal(_half())) == 1.0
    assert separation(_scene(_half(), 90, 90), BOX, _proposal(_half())) == pytest.approx(0, abs=1e-12)


def test_separation_is_one_less_the_bhattacharyya_coefficient(rng: np.random.Generator) -> None:
    mask = rng.random(SHAPE) < 0.5
    image = rng.integers(0, 90, (40, 40, 3), dtype=np.uint8)
    around = BOX.expanded_window(40, 40)
    inside = np.zeros((around.height, around.width), dtype=np.bool_)
    inside[WINDOW.relative_to(around).slices()] = mask
    crop = image[around.slices()]
    histograms = [
        np.histogramdd(crop[where].astype(float), bins=[8] * 3, range=[(0, 256)] * 3)[0] / where.sum()
        for where in (inside, ~inside)
    ]
    expected = 1 - np.sqrt(histograms[0] * histograms[1]).sum()
    assert separation(image, BOX, _proposal(mask)) == pytest.approx(expected, abs=1e-12)


def test_separation_of_a_large_box_is_nearly_that_of_a_small_one(rng: np.random.Generator) -> None:
    mask = np.zeros((100, 100), dtype=np.bool_)
    mask[:60, :50] = True
    image = rng.integers(0, 100, (200, 200, 3), dtype=np.uint8)
    image[50:110, 50:100] += 60
    small = separation(image, Box(50, 50, 150, 150), Proposal(Window(50, 50, 150, 150), mask, Fallback.NONE))
    factor = 6
    large = image.repeat(factor, axis=0).repeat(factor, axis=1)
    window = Window(50 * factor, 50 * factor, 150 * factor, 150 * factor)
    enlarged = Proposal(window, mask.repeat(factor, axis=0).repeat(factor, axis=1), Fallback.NONE)
    box = Box(window.x0, window.y0, window.x1, window.y1)
    assert separation(large, box, enlarged) == pytest.approx(small, abs=0.03)


def test_a_box_over_the_whole_image_has_nothing_to_stand_out_from() -> None:
    image = np.zeros((6, 8, 3), dtype=np.uint8)
    box = Box(0, 0, 8, 6)
    assert separation(image, box, filled_box((8, 6), box)) == 0.0


@pytest.mark.parametrize("box", [Box(-30, -30, 5, 5), Box(38.4, 38.4, 39.2, 70)])
def test_boxes_that_reach_beyond_the_image_are_measured(box: Box) -> None:
    image = np.zeros((40, 40, 3), dtype=np.uint8)
    signals = measured(image, box, filled_box((40, 40), box))
    assert (signals.fill, signals.parts) == (1.0, 1)
    assert 0 <= score(signals) <= 1


def test_the_score_is_agreement_times_a_logistic_function_of_the_evidence() -> None:
    offset, sure, apart, rival = WITH_NETWORK
    signals = replace(GOOD, rivalry=0.25)
    logit = offset + sure * 0.97 + apart * 0.8 - rival * 0.5
    assert score(signals) == pytest.approx(0.98 / (1 + math.exp(-logit)))
    offset, sure, apart, rival = WITHOUT_NETWORK
    logit = offset + sure * 1.0 + apart * 0.8
    assert score(WITHOUT) == pytest.approx(1 / (1 + math.exp(-logit)))


@pytest.mark.parametrize(
    "worse",
    [
        replace(GOOD, certainty=0.8),
        replace(GOOD, agreement=0.7),
        replace(GOOD, separation=0.3),
        replace(GOOD, rivalry=0.5),
    ],
)
def test_every_sign_of_trouble_lowers_the_score(worse: Signals) -> None:
    assert score(worse) < score(GOOD)


@pytest.mark.parametrize(
    "worse",
    [replace(WITHOUT, tightness=0.5), replace(WITHOUT, separation=0.3), replace(WITHOUT, rivalry=0.5)],
)
def test_every_sign_of_trouble_lowers_the_score_without_a_network(worse: Signals) -> None:
    assert score(worse) < score(WITHOUT)


def test_beside_a_network_tightness_and_fill_and_parts_do_not_count() -> None:
    assert score(replace(GOOD, tightness=0.3, fill=0.2, parts=9)) == score(GOOD)


def test_signals_that_are_not_known_count_as_zero() -> None:
    unknown = replace(GOOD, separation=None, rivalry=None)
    assert score(unknown) == score(replace(GOOD, separation=0.0, rivalry=0.0))


def test_an_empty_mask_is_worth_nothing() -> None:
    empty = measured(_scene(_half(), 200, 0), BOX, _proposal(np.zeros(SHAPE)))
    assert empty.tightness == 0.0
    assert empty.parts == 0
    assert score(empty) == 0.0


@pytest.mark.parametrize("fallback", sorted(STAND_INS))
def test_a_box_that_stands_in_for_a_mask_scores_zero(fallback: Fallback) -> None:
    assert score(WITHOUT, fallback) == 0.0
    assert score(GOOD, fallback) > 0.0, "there the network's own mask answered"


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.booleans(), st.floats(0, 1))
def test_the_score_lies_between_zero_and_one(
    seed: int, density: float, network: bool, rivalry: float
) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(SHAPE) < density
    image = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    probability = rng.random(SHAPE).astype(np.float32) if network else None
    signals = measured(image, BOX, _proposal(mask), probability=probability, window=WINDOW)
    assert 0 <= score(replace(signals, rivalry=rivalry)) <= 1
