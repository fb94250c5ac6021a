"""How much of each mask lies under other masks, once every pixel belongs to one of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from boxmask_core.boxes import Window
from boxmask_core.compositing import compose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxmask_core.compositing import Overlaps
    from boxmask_core.instances import InstanceMask


def hidden_shares(masks: Sequence[InstanceMask], overlaps: Overlaps) -> list[float]:
    """Returns, for each mask, the share of its pixels that others take when the masks are flattened.

    Only masks whose windows meet others are painted, so that an image without overlaps costs nothing.

    Args:
        masks: Those of one image.
        overlaps: Who owns a pixel that several claim.

    Returns:
        0 to 1 for each mask; 0 for a mask without pixels.
    """
    shares = [0.0] * len(masks)
    meeting = _meeting([mask.proposal.window for mask in masks])
    if not meeting:
        return shares
    windows = [masks[i].proposal.window for i in meeting]
    around = Window(
        min(window.x0 for window in windows),
        min(window.y0 for window in windows),
        max(window.x1 for window in windows),
        max(window.y1 for window in windows),
    )
    moved = [_moved(masks[i], around) for i in meeting]
    classes = {mask.instance.class_name: 1 for mask in moved}  # only the objects are looked at
    objects = compose(around.width, around.height, moved, classes, overlaps).objects
    for place, (i, mask) in enumerate(zip(meeting, moved, strict=True), start=1):
        owners = objects[mask.proposal.window.slices()][mask.proposal.mask]
        if owners.size:
            shares[i] = float(np.count_nonzero(owners != place) / owners.size)
    return shares


def _meeting(windows: Sequence[Window]) -> list[int]:
    """Returns the places of the windows that share a pixel with another."""
    if len(windows) < 2:
        return []
    x0, y0, x1, y1 = np.array([(window.x0, window.y0, window.x1, window.y1) for window in windows]).T
    meets = (x0[:, None] < x1) & (x0 < x1[:, None]) & (y0[:, None] < y1) & (y0 < y1[:, None])
    return np.flatnonzero(meets.sum(axis=1) > 1).tolist()


def _moved(mask: InstanceMask, origin: Window) -> InstanceMask:
    """Returns the mask with its pixels counted from a window's corner; its box, which decides, stays."""
    return replace(mask, proposal=replace(mask.proposal, window=mask.proposal.window.relative_to(origin)))
