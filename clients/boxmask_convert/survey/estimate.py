"""From a few images to a whole dataset, with a range."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEAST_SPREAD: Final = 0.2
"""Relative half-width of a range at least: a machine is not equally busy all the time."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A quantity with its range.

    Attributes:
        expected: What is expected.
        low: Lower end: two standard errors of the trial, and at least a fifth, below; of time, below the
            quickest round.
        high: Upper end likewise.
    """

    expected: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Returns the fields of the machine-readable form."""
        return {name: round(getattr(self, name), 3) for name in ("expected", "low", "high")}

    def shifted(self, by: float) -> Estimate:
        """Returns the estimate of the quantity with something added that is known."""
        return Estimate(self.expected + by, self.low + by, self.high + by)


def estimate_whole(
    total: float, costs: Sequence[float], masks: Sequence[int], images: int, boxes: int
) -> Estimate:
    """Returns the estimate for a whole dataset from a total over some of its images.

    Some costs grow with images and some with boxes, and the numbers of both are known of the whole: what is
    expected lies between the two, and the range holds both.

    Args:
        total: What the images took together.
        costs: What each took, in any unit: they give the spread.
        masks: How many masks each has.
        images: Images of the whole dataset.
        boxes: Its boxes.
    """
    by_images = _scaled(total, costs, [1.0] * len(masks), images)
    by_boxes = _scaled(total, costs, [1.0 + count for count in masks], images + boxes)
    return Estimate(
        (by_images.expected + by_boxes.expected) / 2,
        min(by_images.low, by_boxes.low),
        max(by_images.high, by_boxes.high),
    )


def _scaled(total: float, costs: Sequence[float], weights: Sequence[float], whole: float) -> Estimate:
    """Returns the estimate of a whole from a total over some, in proportion to weights.

    Args:
        total: What some images took together.
        costs: What each took, in any unit: they give the spread.
        weights: What each is expected to take, in any unit.
        whole: The weight of all images.
    """
    expected = total * whole / sum(weights)
    rate = sum(costs) / sum(weights)
    spread = _LEAST_SPREAD
    if len(costs) > 1 and rate > 0:
        residuals = [cost - rate * weight for cost, weight in zip(costs, weights, strict=True)]
        error = statistics.stdev(residuals) * len(costs) ** 0.5 / sum(costs)
        spread = max(spread, 2 * error)
    return Estimate(expected, expected / (1 + spread), expected * (1 + spread))
