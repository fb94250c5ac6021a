"""Which masks of one image are nearly the same: a sign that one of them holds another's object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from boxmask_core.boxes import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from boxmask_core.grabcut import Proposal

RIVALS: Final = 8
"""Masks that one is compared with: so the work grows with the number of masks, not with its square."""


def rivalries(proposals: Sequence[Proposal]) -> list[float]:
    """Returns the largest IoU of every mask with another, 0 where it is alone.

    A mask is compared with those eight at most that could overlap it most, by their areas and windows.

    Args:
        proposals: The masks of one image.

    Returns:
        One IoU per mask, 0 to 1, in the order given.
    """
    windows = np.array([_corners(proposal.window) for proposal in proposals], dtype=np.int64).reshape(-1, 4)
    areas = np.array([np.count_nonzero(proposal.mask) for proposal in proposals], dtype=np.int64)
    return [_largest_iou(index, proposals, windows, areas) for index in range(len(proposals))]


def _largest_iou(
    index: int, proposals: Sequence[Proposal], windows: NDArray[np.int64], areas: NDArray[np.int64]
) -> float:
    bounds = _bounds(index, windows, areas)
    best = 0.0
    for other in np.argsort(-bounds, kind="stable")[:RIVALS]:
        if bounds[other] <= best:
            break
        both = _intersection(proposals[index], proposals[other])
        best = max(best, both / (int(areas[index]) + int(areas[other]) - both))
    return best


def _bounds(index: int, windows: NDArray[np.int64], areas: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns the largest IoU that the mask can have with each, ``(masks,)``; 0 with itself."""
    low = np.maximum(windows[index, :2], windows[:, :2])
    high = np.minimum(windows[index, 2:], windows[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    shared = np.minimum(shared, np.minimum(areas, areas[index]))
    shared[index] = 0
    return np.asarray(shared / np.maximum(areas + areas[index] - shared, 1), dtype=np.float64)


def _intersection(first: Proposal, second: Proposal) -> int:
    a, b = first.window, second.window
    shared = Window(max(a.x0, b.x0), max(a.y0, b.y0), min(a.x1, b.x1), min(a.y1, b.y1))
    return int(
        np.count_nonzero(
            first.mask[shared.relative_to(a).slices()] & second.mask[shared.relative_to(b).slices()]
        )
    )


def _corners(window: Window) -> tuple[int, int, int, int]:
    return window.x0, window.y0, window.x1, window.y1
