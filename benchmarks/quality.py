"""How well the quality score ranks masks, and what leaving out the masks of low quality gains.

``python -m benchmarks.quality --data VOC2012 --split val [--methods cfs grabcut box] [--classes NAME ...]``

The masks are made in this process. Each is compared with two truths: ``class``, what has its class inside
its box, and ``object``, the one object, where `benchmarks.object_truth` can tell it from others. For both
the last table gives Spearman's rank correlation with the true IoU, and how much a reviewer of the masks of
lowest score finds: of the masks with an IoU below 0.7 ("poor"), and of all that is missing to an IoU of 1
("error"). The peers are the score that boxmask had before (certainty times agreement, and tightness
without a network), and the box's area, the only other thing that every converter could sort by.

The tables before it are of the first method: the true IoU by quarters of the score; and what becomes of
label maps where masks of lower quality than a threshold are void, as by ``boxmask convert
--void-uncertain``: the share of the pixels that still has a class, and the mean IoU over those pixels
alone.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.judged_masks import class_indices, judged_images
from benchmarks.publish import publish, table
from benchmarks.ranking import found_in_worst, rank_correlation
from benchmarks.void_maps import trusted_maps
from boxmask_core.formats import open_dataset
from boxmask_core.quality import STAND_INS, UNCERTAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.judged_masks import JudgedMask
    from benchmarks.publish import Value

POOR: Final = 0.7
REVIEWED: Final = (0.05, 0.1, 0.2, 0.3, 0.5)
QUARTERS: Final = 4
TRUTHS: Final[dict[str, Callable[[JudgedMask], float]]] = {
    "class": lambda judged: judged.of_class,
    "object": lambda judged: judged.of_object,
}


def former_score(judged: JudgedMask) -> float:
    """Returns the score before this one: certainty times agreement, and tightness without a network."""
    signals = judged.mask.signals
    if signals is None:
        raise ValueError("a mask that was made here must have signals, but got none")
    if signals.certainty is None or signals.agreement is None:
        return 0.0 if judged.mask.proposal.fallback in STAND_INS else signals.tightness
    return signals.certainty * signals.agreement


SCORES: Final[dict[str, Callable[[JudgedMask], float]]] = {
    "quality": lambda judged: judged.mask.quality,
    "former score": former_score,
    "box area": lambda judged: judged.mask.proposal.window.area,
}


def main(argv: Sequence[str]) -> int:
    """Runs the benchmark.

    Args:
        argv: Command-line arguments.
    """
    arguments = _parser().parse_args(argv)
    indices = class_indices(open_dataset(arguments.data, split=arguments.split).class_names)
    rows: list[dict[str, Value]] = []
    ratios: dict[str, float] = {}
    for method in arguments.methods:
        images = list(judged_images(arguments.data, arguments.split, method, arguments.limit))
        masks = [judged for image in images for judged in image.masks]
        compared = comparison(masks)
        if method == arguments.methods[0]:
            maps = trusted_maps(images, indices, arguments.classes)
            sys.stdout.write(f"{table(by_quarters(masks))}\n{table(maps)}\n")
            ratios |= _ratios(compared) | _ratios_of_maps(maps)
        else:
            ratios[f"rank_correlation_{method}"] = float(compared[0]["rank correlation"])
            ratios[f"rank_correlation_{method}_objects"] = float(compared[len(SCORES)]["rank correlation"])
        rows += [{"method": method, **row} for row in compared]
    publish("quality", rows, ratios)
    return 0


def comparison(masks: Sequence[JudgedMask]) -> list[dict[str, Value]]:
    """Returns one row per truth and score, in the order of `TRUTHS` and `SCORES`."""
    rows: list[dict[str, Value]] = []
    for truth, iou_of in TRUTHS.items():
        judged = [mask for mask in masks if not math.isnan(iou_of(mask))]
        ious = [iou_of(mask) for mask in judged]
        faults = {"poor": [float(iou < POOR) for iou in ious], "error": [1 - iou for iou in ious]}
        for name, score_of in SCORES.items():
            scores = [score_of(mask) for mask in judged]
            row: dict[str, Value] = {
                "truth": truth,
                "masks": len(judged),
                "poor": int(sum(faults["poor"])),
                "ranked by": name,
                "rank correlation": rank_correlation(scores, ious),
            }
            for fault, values in faults.items():
                for share in REVIEWED:
                    row[f"{fault} in worst {share:.0%}"] = found_in_worst(scores, values, share)
            rows.append(row)
    return rows


def by_quarters(masks: Sequence[JudgedMask]) -> list[dict[str, Value]]:
    """Returns the mean true IoU of the masks, by quarters of their quality."""
    order = np.argsort([judged.mask.quality for judged in masks], kind="stable")
    return [
        {
            "quality": f"{masks[group[0]].mask.quality:.2f} to {masks[group[-1]].mask.quality:.2f}",
            "masks": len(group),
            "mean quality": float(np.mean([masks[place].mask.quality for place in group])),
            "mean IoU": float(np.mean([masks[place].of_class for place in group])),
        }
        for group in np.array_split(order, min(QUARTERS, len(masks)))
    ]


def _ratios(rows: Sequence[dict[str, Value]]) -> dict[str, float]:
    ours, former, area = (float(row["rank correlation"]) for row in rows[: len(SCORES)])
    of_objects = rows[len(SCORES)]
    return {
        "rank_correlation": ours,
        "of_former_score": former,
        "of_area": area,
        "rank_correlation_objects": float(of_objects["rank correlation"]),
        "found_in_worst_20": float(rows[0]["poor in worst 20%"]),
        "found_in_worst_20_objects": float(of_objects["poor in worst 20%"]),
        "former_found_in_worst_20": float(rows[1]["poor in worst 20%"]),
    }


def _ratios_of_maps(rows: Sequence[dict[str, Value]]) -> dict[str, float]:
    trusted = next(row for row in rows if row["void below"] == UNCERTAIN)
    return {
        "coverage_at_default": float(trusted["coverage"]),
        "mean_iou_gain_at_default": float(trusted["mean IoU"]) / float(rows[0]["mean IoU"]),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="VOC folder, with SegmentationClass")
    parser.add_argument("--split", help="part of it (default: all)")
    parser.add_argument("--methods", nargs="+", default=["cfs"], choices=["cfs", "grabcut", "box"])
    parser.add_argument("--limit", type=int, help="first images only")
    parser.add_argument("--classes", nargs="+", help="whose IoU is averaged (default: all that occur)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
