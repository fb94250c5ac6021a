"""How well the quality score ranks masks: its rank correlation with the true IoU.

``python -m benchmarks.quality --masks OUT --truth SegmentationClass``, where OUT is what
``boxmask convert --to coco`` wrote of a dataset whose true label maps (VOC's, 255 void) are in the folder.
The truth knows classes, not instances: an object is taken to be what has its class inside its box. The peer
is the box's area, the only other thing that every converter could sort by.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.publish import publish
from boxmask_core.formats.coco_masks import CocoMasks
from boxmask_core.formats.keys import key_of
from boxmask_core.palette import decode_indexed_png

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from boxmask_core.grabcut import Proposal

VOID = 255
GROUPS = 4


def main(argv: Sequence[str]) -> int:
    """Runs the benchmark.

    Args:
        argv: Command-line arguments.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--masks", type=Path, required=True, help="what `boxmask convert --to coco` wrote")
    parser.add_argument("--truth", type=Path, required=True, help="folder of true label maps, KEY.png")
    arguments = parser.parse_args(argv)
    masks = CocoMasks(arguments.masks)
    indices = {name: index + 1 for index, name in enumerate(masks.class_names)}
    qualities, areas, truths = [], [], []
    for image in masks.images:
        key = key_of(image.file_name, image.file_name)
        truth = decode_indexed_png((arguments.truth / f"{key}.png").read_bytes())
        for mask in masks.masks(image):
            qualities.append(mask.quality)
            areas.append(mask.proposal.window.area)
            truths.append(iou(mask.proposal, truth, indices[mask.instance.class_name]))
    order = np.argsort(qualities, kind="stable")
    rows: list[dict[str, str | int | float]] = [
        {
            "quality": f"{qualities[group[0]]:.2f} to {qualities[group[-1]]:.2f}",
            "masks": len(group),
            "mean IoU": float(np.mean(np.asarray(truths)[group])),
        }
        for group in np.array_split(order, GROUPS)
    ]
    publish(
        "quality",
        rows,
        {"rank_correlation": rank_correlation(qualities, truths), "of_area": rank_correlation(areas, truths)},
    )
    return 0


def iou(proposal: Proposal, truth: NDArray[np.uint8], index: int) -> float:
    """Returns the IoU of a mask with what has its class in its box; void pixels do not count."""
    part = truth[proposal.window.slices()]
    known, true = part != VOID, part == index
    union = np.count_nonzero((proposal.mask | true) & known)
    return float(np.count_nonzero(proposal.mask & true & known) / union) if union else 1.0


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Returns Spearman's rank correlation, ties given their mean rank."""
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
