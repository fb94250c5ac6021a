"""How well one number ranks masks by another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Returns Spearman's rank correlation, ties given their mean rank; 0 where all of one are equal."""
    if len(set(first)) < 2 or len(set(second)) < 2:
        return 0.0
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def found_in_worst(scores: Sequence[float], faults: Sequence[float], share: float) -> float:
    """Returns how much of all faults whoever reviews the masks of lowest score finds.

    Args:
        scores: One score per mask; the lowest are reviewed first. Equal scores are in no order: they share
            their faults evenly.
        faults: One number per mask, 0 or more: how much is wrong with it.
        share: The share of the masks that is reviewed, 0 to 1.

    Returns:
        The share of the sum of faults, 0 to 1; 1 where there are none.
    """
    values, wrong = np.asarray(scores, dtype=np.float64), np.asarray(faults, dtype=np.float64)
    total = wrong.sum()
    if total == 0:
        return 1.0
    distinct, group = np.unique(values, return_inverse=True)
    sizes = np.bincount(group, minlength=len(distinct))
    sums = np.bincount(group, weights=wrong, minlength=len(distinct))
    reviewed = np.concatenate(([0], np.cumsum(sizes)))
    found = np.concatenate(([0.0], np.cumsum(sums)))
    return float(np.interp(share * len(values), reviewed, found) / total)


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)
