"""What is lost where each pixel can belong to one instance only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from boxmask_core.compositing import is_trusted
from boxmask_core.formats.closing import EMPTY_MASK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from boxmask_core.instances import MaskedImage
    from boxmask_core.palette import LabelArray

COVERED_PIXELS = "pixels that masks lose to overlaps"
HIDDEN_INSTANCES = "instances that lose every pixel to overlaps"
UNTRUSTED_INSTANCES = "instances that are not trusted, their box void"


@dataclass(frozen=True, slots=True)
class FlatLosses:
    """What one image loses.

    Attributes:
        counts: A sentence, and how often; counts may be 0.
        hidden: Ids of the instances that lose every pixel to overlaps, in the image's order.
    """

    counts: Mapping[str, int]
    hidden: tuple[str, ...]


def flat_losses(image: MaskedImage, objects: LabelArray, void_below: float | None = None) -> FlatLosses:
    """Compares an image's masks with their map.

    Args:
        image: The masks.
        objects: Their object map, 1-based place in ``masks``, 0 background, the largest of its type void.
        void_below: The quality below which masks were not painted.
    """
    painted = np.bincount(objects.ravel(), minlength=len(image.masks) + 1)[1 : len(image.masks) + 1]
    covered = untrusted = empty = 0
    hidden = []
    for mask, seen in zip(image.masks, painted.tolist(), strict=True):
        area = int(np.count_nonzero(mask.proposal.mask))
        if not is_trusted(mask, void_below):
            untrusted += 1
            continue
        covered += area - seen
        empty += area == 0
        if area > 0 and seen == 0:
            hidden.append(mask.instance.id)
    counts = {
        COVERED_PIXELS: covered,
        HIDDEN_INSTANCES: len(hidden),
        UNTRUSTED_INSTANCES: untrusted,
        EMPTY_MASK: empty,
    }
    return FlatLosses(counts, tuple(hidden))
