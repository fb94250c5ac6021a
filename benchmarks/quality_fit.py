"""Fits the coefficients of the quality score to the true IoU of masks.

``python -m benchmarks.quality_fit --data VOC2012 --split train``

The network's coefficients are fitted to the masks of method cfs, the others to those of method grabcut but
for the boxes that stand in for masks. The truth is the one object (`benchmarks.object_truth`). What is
fitted is a logistic function of `boxmask_core.quality.evidence`, times agreement; cross-entropy is
minimised, and no coefficient may be negative. The table gives the rank correlation in cross-validation:
five folds, all masks of one image in one fold.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from scipy.optimize import minimize

from benchmarks.judged_masks import judged_images
from benchmarks.publish import publish
from benchmarks.ranking import found_in_worst, rank_correlation
from boxmask_core.quality import STAND_INS, evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.publish import Value
    from boxmask_core.quality import Signals

FOLDS: Final = 5
RIDGE: Final = 1e-3
"""Weight of the squared coefficients of scaled values: it keeps them finite where all masks are alike."""
POOR: Final = 0.7


def main(argv: Sequence[str]) -> int:
    """Runs the fit.

    Args:
        argv: Command-line arguments.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality_fit", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="VOC folder, with SegmentationClass")
    parser.add_argument("--split", help="part of it (default: all)")
    parser.add_argument("--limit", type=int, help="first images only")
    arguments = parser.parse_args(argv)
    rows: list[dict[str, Value]] = []
    ratios: dict[str, float] = {}
    methods: dict[str, Literal["cfs", "grabcut"]] = {"WITH_NETWORK": "cfs", "WITHOUT_NETWORK": "grabcut"}
    for constant, method in methods.items():
        signals, ious, folds = _samples(arguments.data, arguments.split, method, arguments.limit)
        found = held_out_scores(signals, ious, folds)
        coefficients = fitted(signals, ious)
        ratios[f"rank_correlation_{method}"] = rank_correlation(found, ious)
        rows.append(
            {
                "constant": constant,
                "value": str(tuple(round(float(value), 2) for value in coefficients)),
                "masks": len(ious),
                "rank correlation": ratios[f"rank_correlation_{method}"],
                "poor in worst 20%": found_in_worst(found, [float(iou < POOR) for iou in ious], 0.2),
            }
        )
    publish("quality_fit", rows, ratios)
    return 0


def fitted(signals: Sequence[Signals], ious: Sequence[float]) -> NDArray[np.float64]:
    """Fits the score.

    Args:
        signals: Signals of every mask.
        ious: Its true IoU, 0 to 1.

    Returns:
        float64, the offset and one coefficient per value of `evidence`.
    """
    values = np.array([evidence(each) for each in signals])
    mean, spread = values.mean(axis=0), values.std(axis=0) + 1e-9
    scaled = (values - mean) / spread
    targets = np.minimum(np.asarray(ious) / np.maximum(_agreements(signals), 1e-9), 1.0)

    def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = point[0] + scaled @ point[1:]
        entropy = np.logaddexp(0, logits) - targets * logits
        wrong = 1 / (1 + np.exp(-logits)) - targets
        slope = scaled.T @ wrong / len(targets) + 2 * RIDGE * point[1:]
        return float(entropy.mean() + RIDGE * (point[1:] ** 2).sum()), np.r_[wrong.mean(), slope]

    bounds = [(None, None)] + [(0, None)] * values.shape[1]
    best = minimize(loss, np.zeros(values.shape[1] + 1), jac=True, bounds=bounds, method="L-BFGS-B").x
    slopes = best[1:] / spread
    return np.asarray(np.r_[best[0] - slopes @ mean, slopes], dtype=np.float64)


def held_out_scores(signals: Sequence[Signals], ious: Sequence[float], folds: Sequence[int]) -> list[float]:
    """Scores every mask by coefficients that were fitted without its fold.

    Args:
        signals: Signals of every mask.
        ious: Its true IoU.
        folds: Its fold.
    """
    values = np.array([evidence(each) for each in signals])
    scores = np.zeros(len(signals))
    for fold in set(folds):
        known = [place for place, other in enumerate(folds) if other != fold]
        point = fitted([signals[place] for place in known], [ious[place] for place in known])
        held = np.asarray(folds) == fold
        scores[held] = 1 / (1 + np.exp(-(point[0] + values[held] @ point[1:])))
    return [float(score) for score in scores * _agreements(signals)]


def _agreements(signals: Sequence[Signals]) -> NDArray[np.float64]:
    return np.array([1.0 if each.agreement is None else each.agreement for each in signals])


def _samples(
    data: Path, split: str | None, method: Literal["cfs", "grabcut"], limit: int | None
) -> tuple[list[Signals], list[float], list[int]]:
    """Returns signals, true IoU and fold of all masks that can be learned from."""
    signals, ious, folds = [], [], []
    for place, image in enumerate(judged_images(data, split, method, limit)):
        for judged in image.masks:
            found = judged.mask.signals
            stands_in = method == "grabcut" and judged.mask.proposal.fallback in STAND_INS
            if found is not None and not stands_in and not math.isnan(judged.of_object):
                signals.append(found)
                ious.append(judged.of_object)
                folds.append(place % FOLDS)
    return signals, ious, folds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
