"""How far a mask can be trusted, judged without ground truth.

The score estimates the mask's IoU with the true mask, between 0 and 1. Where a network answered, it is

    ``agreement * sigmoid(offset + a * certainty + b * separation - c * sqrt(rivalry))``

and where none did, tightness takes the place of certainty, and agreement is 1. The signals are those of
`Signals`; in words: how sure the network is, whether GrabCut left its answer standing, whether the object has
other colours than what surrounds it, and whether another mask of the image is nearly the same. A filled box
that stands in for a mask scores 0, and so does an empty mask. Filled boxes that were asked for are only
ranked: their IoU is lower than their score.

The coefficients were fitted to the true IoU on PASCAL VOC's ``train``: ``python -m benchmarks.quality_fit``.
How well the score ranks the masks of ``val``, `benchmarks/quality.py` measures. What was tried on ``train``
and left out, since it added nothing: the entropy of the probability (it ranks masks as certainty does),
tightness beside a network, the number of parts, fill and its distance from the class's median, and the share
of a mask that other masks claim too (rivalry says more).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from boxmask_core.grabcut import Fallback

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from boxmask_core.boxes import Box, Window
    from boxmask_core.grabcut import Proposal


@dataclass(frozen=True, slots=True)
class Signals:
    """What can be said of one mask without ground truth; None where it is not known.

    Attributes:
        certainty: Mean of ``|2p - 1|`` over the box, p being the network's probability, 0 to 1. None where no
            network answered.
        agreement: IoU of the network's own mask with the mask that is answered, 0 to 1. None likewise.
        tightness: IoU of the mask's bounding box with the box, 0 to 1.
        fill: Share of the box's pixels that are foreground, 0 to 1.
        parts: Number of 8-connected parts.
        separation: How unlike the mask's colours are to those of the rest of the expanded box: 1 less the
            Bhattacharyya coefficient of their histograms, 0 to 1.
        rivalry: The largest IoU of the mask with another mask of the image, 0 to 1; 0 where it is alone.
    """

    certainty: float | None
    agreement: float | None
    tightness: float
    fill: float
    parts: int
    separation: float | None = None
    rivalry: float | None = None


UNCERTAIN: Final = 0.6
"""Quality below which a mask is not to be trusted, where nothing else is said.

Of the thresholds that make more than 1 % of the pixels of ``train`` void, the one that gains most mean IoU
for each of them (`benchmarks/quality.py`). Higher ones, up to 0.85, gain more at nearly the same price.
"""
STAND_INS = frozenset(
    {Fallback.TINY_BOX, Fallback.CONSTANT_COLOUR, Fallback.EMPTY_FOREGROUND, Fallback.SMALL_MASK}
)
"""Rungs of `coarse_proposal` that answer with the filled box."""
WITH_NETWORK: Final = (-6.34, 8.76, 1.89, 2.06)
"""Offset and coefficients of `evidence`, where a network answered."""
WITHOUT_NETWORK: Final = (-1.39, 2.5, 2.07, 1.9)
"""Likewise, where none did."""
_LEVELS = 8
_SAMPLES = 16384


def measured(
    image: NDArray[np.uint8],
    box: Box,
    proposal: Proposal,
    *,
    probability: NDArray[np.float32] | None = None,
    window: Window | None = None,
) -> Signals:
    """Returns the signals of a mask that is alone in its image; `rivalries` knows of others.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
        box: The object's box.
        proposal: Its mask.
        probability: float32 foreground probability, 0 to 1, ``(window.height, window.width)``, or None where
            no network answered.
        window: The probability's place in the image; it holds the proposal's window.
    """
    mask = proposal.mask
    certainty = agreement = None
    if probability is not None and window is not None:
        inside = probability[proposal.window.relative_to(window).slices()]
        certainty = float(np.abs(2 * inside - 1).mean())
        agreement = _iou(inside > 0.5, mask)
    return Signals(
        certainty=certainty,
        agreement=agreement,
        tightness=tightness(mask),
        fill=proposal.fill,
        parts=cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 1,
        separation=separation(image, box, proposal),
        rivalry=0.0,
    )


def score(signals: Signals, fallback: Fallback = Fallback.NONE) -> float:
    """Scores one mask.

    Args:
        signals: Its signals; separation and rivalry count as 0 where they are not known.
        fallback: The rung of the ladder that gave it.

    Returns:
        The score, 0 to 1.
    """
    if signals.fill == 0 or (signals.certainty is None and fallback in STAND_INS):
        return 0.0
    offset, *coefficients = WITHOUT_NETWORK if signals.certainty is None else WITH_NETWORK
    logit = offset + math.fsum(
        coefficient * value for coefficient, value in zip(coefficients, evidence(signals), strict=True)
    )
    return (1.0 if signals.agreement is None else signals.agreement) / (1 + math.exp(-logit))


def evidence(signals: Signals) -> tuple[float, float, float]:
    """Returns what the score's logistic part is linear in; more of each is more trust.

    Returns:
        Certainty, or tightness without a network; separation; and the root of rivalry, negative.
    """
    sure = signals.tightness if signals.certainty is None else signals.certainty
    return sure, signals.separation or 0.0, -math.sqrt(signals.rivalry or 0.0)


def tightness(mask: NDArray[np.bool_]) -> float:
    """Returns the IoU of the mask's bounding box with the whole of the window, 0 to 1.

    Args:
        mask: bool, ``(H, W)``.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return 0.0
    return float((rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1) / mask.size)


def separation(image: NDArray[np.uint8], box: Box, proposal: Proposal) -> float:
    """Returns how unlike a mask's colours are to those of the rest of the expanded box, 0 to 1.

    Colours are counted in 8 levels a channel, over every n-th row and column such that the expanded box gives
    16 384 samples at most, about.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
        box: The object's box.
        proposal: Its mask.

    Returns:
        1 less the Bhattacharyya coefficient of the two histograms; 0 where either is empty.
    """
    height, width = image.shape[:2]
    around = box.expanded_window(width, height).clipped(width, height)
    inside = np.zeros((around.height, around.width), dtype=np.uint8)
    inside[proposal.window.relative_to(around).slices()] = proposal.mask
    step = max(math.ceil(math.sqrt(around.area / _SAMPLES)), 1)
    colours = np.ascontiguousarray(image[around.slices()][::step, ::step])
    inside = np.ascontiguousarray(inside[::step, ::step])
    object_colours, other_colours = _histogram(colours, inside), _histogram(colours, 1 - inside)
    counts = object_colours.sum() * other_colours.sum()
    if counts == 0:
        return 0.0
    return max(1.0 - float(np.sqrt(object_colours * other_colours).sum() / math.sqrt(counts)), 0.0)


def _histogram(colours: NDArray[np.uint8], where: NDArray[np.uint8]) -> NDArray[np.float64]:
    counts = cv2.calcHist([colours], [0, 1, 2], where, [_LEVELS] * 3, [0, 256] * 3)
    return counts.astype(np.float64).ravel()


def _iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    union = np.count_nonzero(first | second)
    return float(np.count_nonzero(first & second) / union) if union else 1.0
