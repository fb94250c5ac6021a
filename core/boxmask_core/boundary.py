"""What is measured near the outlines of objects, where intersection over union alone is nearly blind.

Boundary IoU compares thin bands along the outlines of prediction and truth: Cheng, Girshick, Dollar, Berg and
Kirillov, "Boundary IoU", CVPR 2021. A trimap confines any measure to the pixels around the outlines of
the truth: Kohli, Ladicky and Torr, IJCV 2009; Kraehenbuehl and Koltun, NIPS 2011; Chen et al., ICLR 2015.
Distances are those of the chessboard, as in the published implementation of boundary IoU.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from boxmask_core.errors import InvalidInputError
from boxmask_core.evaluation import counted_pixels, mean_over_present, quotients
from boxmask_core.palette import void_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from boxmask_core.palette import LabelArray

DILATION_RATIO = 0.02
"""Width of boundary IoU's bands, as a part of the image's diagonal."""


class BoundaryIou:
    """Counts, for every class, where the bands along its outlines in prediction and truth meet.

    The band of a class in an image is what lies in it within `band_width` of its outline; the image's border
    is an outline. Per class, IoU is the sum over all images of the bands' intersections over that of their
    unions.

    Void pixels of the truth are taken out of both maps before the bands are drawn. So nothing that is
    predicted there counts, and the rim of void around an object is an outline of both. As with
    `ConfusionMatrix`, void in a prediction is no class.

    Args:
        num_classes: Number of classes, background included.
        ratio: Width of the bands, as a part of the image's diagonal.
    """

    def __init__(self, num_classes: int, ratio: float = DILATION_RATIO) -> None:
        self._ratio = ratio
        self._intersection, self._union, self._truth = np.zeros((3, num_classes), dtype=np.int64)

    def update(self, prediction: LabelArray, truth: LabelArray, *, what: str = "label map") -> None:
        """Counts one image.

        Args:
            prediction: Class indices, ``(H, W)``, the largest of the type void.
            truth: Likewise, of the same type.
            what: Name of the image in error messages.

        Raises:
            InvalidMaskError: The sizes differ, or an index is neither a class nor void.
        """
        counted = counted_pixels(prediction, truth, len(self._truth), what)
        width = band_width(truth.shape, self._ratio)
        for label in np.union1d(truth[counted], prediction[counted]):
            if label == void_of(prediction):  # of the prediction
                continue
            true = boundary_band(truth == label, width)
            predicted = boundary_band((prediction == label) & counted, width)
            self._intersection[label] += np.count_nonzero(true & predicted)
            self._union[label] += np.count_nonzero(true | predicted)
            self._truth[label] += np.count_nonzero(true)

    def iou(self) -> NDArray[np.float64]:
        """Returns the boundary IoU per class, NaN where neither truth nor prediction has it."""
        return quotients(self._intersection, self._union)

    def present(self) -> NDArray[np.bool_]:
        """Says of every class whether the truth has it."""
        return np.asarray(self._truth > 0)

    def mean_iou(self, classes: Sequence[int] | None = None) -> float:
        """Returns the mean of `iou` over classes that the truth has, NaN where it has none.

        Args:
            classes: The classes to look at, or None for all.
        """
        return mean_over_present(self.iou(), self.present(), classes)


def band_width(shape: tuple[int, ...], ratio: float = DILATION_RATIO) -> int:
    """Returns how wide boundary IoU's bands are in an image, pixels.

    Args:
        shape: ``(H, W)`` of the image.
        ratio: Part of its diagonal.
    """
    return max(1, round(ratio * math.hypot(*shape)))


def boundary_band(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Returns the pixels of a mask within ``width`` of a pixel outside it; beyond the image all is outside.

    Args:
        mask: bool, ``(H, W)``.
        width: Width of the band, pixels, at least 1.
    """
    square = _square(width, mask.shape)
    inner = cv2.erode(mask.astype(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=(0,))
    return np.asarray(mask & (inner == 0))


def trimap(truth: LabelArray, width: int) -> LabelArray:
    """Returns the truth near its outlines, and void elsewhere.

    A pixel stays if another label lies within ``width`` of it. Void is such a label, so the rim that VOC
    draws around objects is an outline, as for Kraehenbuehl and Koltun and for DeepLab; where objects touch
    without a rim, their border is one. The image's border is none.

    Args:
        truth: Class indices, ``(H, W)``, the largest of the type void.
        width: How far from an outline, pixels, at least 1.

    Raises:
        InvalidInputError: The width is below 1.
    """
    if width < 1:
        raise InvalidInputError(f"expected a trimap at least 1 pixel wide, but got {width}")
    square = _square(width, truth.shape)
    near = cv2.erode(truth, square) != cv2.dilate(truth, square)
    kept: LabelArray = truth.copy()
    kept[~near] = void_of(truth)
    return kept


def _square(width: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    side = 2 * min(width, max(shape)) + 1  # a wider one reaches no further
    return np.ones((side, side), dtype=np.uint8)
