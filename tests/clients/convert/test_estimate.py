"""From a few images to a whole dataset."""

from __future__ import annotations

import numpy as np
import pytest

from boxmask_convert.survey.estimate import Estimate, estimate_whole


def test_a_cost_of_images_alone_or_of_boxes_alone_lies_in_the_range() -> None:
    masks = [1, 3, 1, 3]
    by_image = estimate_whole(4 * 10.0, [10.0] * 4, masks, images=1000, boxes=5000)
    assert by_image.low <= 1000 * 10 <= by_image.high
    # One for the image, one for each box: 2 and 4, twice each, is 12; of the whole 6000.
    costs = [1.0 + count for count in masks]
    by_box = estimate_whole(sum(costs), costs, masks, images=1000, boxes=5000)
    assert by_box.low <= 6000 <= by_box.high
    assert by_box.low < by_box.expected < by_box.high


def test_like_images_give_a_fifth_to_either_side() -> None:
    estimate = estimate_whole(8.0, [1.0] * 8, [1] * 8, images=100, boxes=100)
    assert estimate.expected == pytest.approx(100)
    assert estimate.low == pytest.approx(100 / 1.2)
    assert estimate.high == pytest.approx(120)


def test_the_range_holds_the_truth_of_uneven_images_most_of_the_time() -> None:
    rng = np.random.default_rng(5)
    costs = rng.lognormal(0, 0.5, 1000)
    held = 0
    for _ in range(200):
        some = rng.choice(costs, 8)
        estimate = estimate_whole(float(some.sum()), some.tolist(), [1] * 8, images=1000, boxes=1000)
        held += estimate.low <= costs.sum() <= estimate.high
    assert held >= 170


def test_what_is_known_is_added() -> None:
    assert Estimate(2, 1, 3).shifted(10) == Estimate(12, 11, 13)
    assert Estimate(2, 1, 3).to_json() == {"expected": 2, "low": 1, "high": 3}
