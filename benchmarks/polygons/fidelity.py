"""How much of a mask is left: the figures of one way through polygons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.publish import Value

POOR: Final = 0.9


@dataclass(frozen=True, slots=True)
class Shape:
    """What is hard about a mask.

    Attributes:
        parts: Number of 8-connected parts.
        holes: Number of holes, 4-connected pieces of background that the mask encloses.
    """

    parts: int
    holes: int


def shape_of(mask: NDArray[np.bool_]) -> Shape:
    """Counts the parts and the holes of a mask.

    Args:
        mask: bool, ``(H, W)``.
    """
    padded = np.pad(mask, 1).astype(np.uint8)
    parts, _ = cv2.connectedComponents(padded, connectivity=8)
    background, _ = cv2.connectedComponents(1 - padded, connectivity=4)
    return Shape(
        parts - 1, background - 2
    )  # each count has the pixels at 0 as one more, and one lies outside


def iou(mask: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """Returns intersection over union; 1 of two empty masks.

    Args:
        mask: bool, ``(H, W)``.
        true: bool, ``(H, W)``.
    """
    union = np.count_nonzero(mask | true)
    return float(np.count_nonzero(mask & true) / union) if union else 1.0


def row(way: str, ious: Sequence[float], shapes: Sequence[Shape]) -> dict[str, Value]:
    """Returns a row of the table.

    Args:
        way: What the masks went through.
        ious: With the true mask, 0 to 1, one per mask.
        shapes: Of the true masks, in the same order.
    """
    values = np.asarray(ious)
    holes = np.array([shape.holes > 0 for shape in shapes], dtype=np.bool_)
    several = np.array([shape.parts > 1 for shape in shapes], dtype=np.bool_)
    return {
        "masks through": way,
        "masks": len(values),
        "mean IoU": _mean(values),
        "worst": f"{values.min():.4f}",
        f"below {POOR}": f"{(values < POOR).mean():.4f}",
        "exact": f"{(values == 1).mean():.4f}",
        "with holes": _mean(values[holes]),
        "of several parts": _mean(values[several]),
        "of one part, no hole": _mean(values[~holes & ~several]),
    }


def _mean(values: NDArray[np.float64]) -> str:
    return f"{values.mean():.4f}" if values.size else "-"
