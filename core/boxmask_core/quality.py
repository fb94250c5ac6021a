"""How far a mask can be trusted, judged without ground truth.

Where a network answered, the score is the product of

- certainty: mean of ``|2p - 1|`` over the box, p being the network's probability;
- agreement: IoU of the network's own mask with the refined mask.

Where none did, it is tightness: the share of the box that the mask's own bounding box covers. A box is drawn
tight around its object, so a mask that does not reach the box's four sides lost a part. On held-out boxes
certainty and agreement ranked the network's masks better without tightness than with it. A filled box that
stands in for a mask scores 0. `benchmarks/quality.py` measures how well the score ranks masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from boxmask_core.grabcut import Fallback

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from boxmask_core.boxes import Window
    from boxmask_core.grabcut import Proposal


@dataclass(frozen=True, slots=True)
class Signals:
    """What can be said of one mask without ground truth; None where no network answered.

    Attributes:
        certainty: Mean of ``|2p - 1|`` over the box, p being the network's probability, 0 to 1.
        agreement: IoU of the network's own mask with the mask that is answered, 0 to 1.
        tightness: IoU of the mask's bounding box with the box, 0 to 1.
        fill: Share of the box's pixels that are foreground, 0 to 1.
        parts: Number of 8-connected parts.
    """

    certainty: float | None
    agreement: float | None
    tightness: float
    fill: float
    parts: int


STAND_INS = frozenset(
    {Fallback.TINY_BOX, Fallback.CONSTANT_COLOUR, Fallback.EMPTY_FOREGROUND, Fallback.SMALL_MASK}
)


def score(
    proposal: Proposal,
    *,
    cfs: Proposal | None = None,
    probability: NDArray[np.float32] | None = None,
    window: Window | None = None,
) -> float:
    """Scores one mask.

    Args:
        proposal: The mask that is answered.
        cfs: The network's own mask on the same window, before refinement.
        probability: float32 foreground probability, 0 to 1, ``(window.height, window.width)``.
        window: The probability's place in the image; it holds the proposal's window.

    Returns:
        The score, 0 to 1.
    """
    if probability is None or window is None:
        return 0.0 if proposal.fallback in STAND_INS else tightness(proposal.mask)
    inside = probability[proposal.window.relative_to(window).slices()]
    certainty = float(np.abs(2 * inside - 1).mean())
    return certainty if cfs is None else certainty * _iou(cfs.mask, proposal.mask)


def tightness(mask: NDArray[np.bool_]) -> float:
    """Returns the IoU of the mask's bounding box with the whole of the window, 0 to 1.

    Args:
        mask: bool, ``(H, W)``.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return 0.0
    return float((rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1) / mask.size)


def _iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    union = np.count_nonzero(first | second)
    return float(np.count_nonzero(first & second) / union) if union else 1.0
