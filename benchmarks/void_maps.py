"""What label maps gain and lose where masks that are not to be trusted are void."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from boxmask_core.compositing import compose
from boxmask_core.evaluation import ConfusionMatrix
from boxmask_core.palette import VOID
from boxmask_core.quality import UNCERTAIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.judged_masks import JudgedImage
    from benchmarks.publish import Value

THRESHOLDS: Final = (0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85)


def trusted_maps(
    images: Sequence[JudgedImage], indices: Mapping[str, int], classes: Sequence[str] | None
) -> list[dict[str, Value]]:
    """Evaluates the label maps of a dataset, without pixels that are void in them.

    Args:
        images: Images with their masks.
        indices: Class name to index in the truth.
        classes: Whose IoU is averaged, "background" among them, or None for all that occur.

    Returns:
        One row per threshold, the first without one: the shares of masks and of pixels that are left, the
        mean IoU of those pixels, and its gain over the share of pixels that it cost.
    """
    named = {"background": 0, **indices}
    averaged = None if classes is None else [named[name] for name in classes]
    first = _row(images, indices, averaged, len(named), None)
    rows = [first]
    for threshold in sorted({*THRESHOLDS, UNCERTAIN}):
        row = _row(images, indices, averaged, len(named), threshold)
        gain, void = row["mean IoU"] - first["mean IoU"], first["coverage"] - row["coverage"]
        rows.append(row | {"gain over void": gain / void if void else 0.0})
    return [dict(row) for row in rows]


def _row(
    images: Sequence[JudgedImage],
    indices: Mapping[str, int],
    averaged: Sequence[int] | None,
    num_classes: int,
    threshold: float | None,
) -> dict[str, float]:
    matrix = ConfusionMatrix(num_classes)
    counted = covered = kept = total = 0
    for image in images:
        height, width = image.truth.shape
        masks = [judged.mask for judged in image.masks]
        labels = compose(width, height, masks, indices, void_below=threshold).classes.astype(np.uint8)
        known = image.truth != VOID
        counted += int(np.count_nonzero(known))
        covered += int(np.count_nonzero(known & (labels != VOID)))
        total += len(masks)
        kept += sum(threshold is None or mask.quality >= threshold for mask in masks)
        matrix.update(labels, np.where(labels == VOID, np.uint8(VOID), image.truth), what=image.key)
    return {
        "void below": 0.0 if threshold is None else threshold,
        "masks kept": kept / max(total, 1),
        "coverage": covered / max(counted, 1),
        "mean IoU": matrix.mean_iou(averaged),
        "gain over void": 0.0,
    }
