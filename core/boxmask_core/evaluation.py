"""Mean intersection over union, by one confusion matrix over the whole dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from boxmask_core.errors import InvalidMaskError
from boxmask_core.palette import void_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from boxmask_core.palette import LabelArray


class ConfusionMatrix:
    """Counts, for every pair of true and predicted class, the pixels that have it.

    Void pixels of the truth (255, or 65535 in maps of 16 bits) are not counted. Void in a prediction is no
    class, so it is wrong wherever the truth is not void: nothing can be gained by leaving pixels out.
    `where_predicted` is the other view, which is worth nothing without `coverage`.

    Args:
        num_classes: Number of classes, background included.
    """

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        # Rows are true classes; the last column holds predictions of no class.
        self._counts = np.zeros((num_classes, num_classes + 1), dtype=np.int64)

    @property
    def counts(self) -> NDArray[np.int64]:
        """int64 ``(classes, classes + 1)``: true class by predicted class, the last column void."""
        return self._counts.copy()

    def update(self, prediction: LabelArray, truth: LabelArray, *, what: str = "label map") -> None:
        """Counts one image.

        Args:
            prediction: Class indices, ``(H, W)``, the largest of the type void.
            truth: Likewise, of the same type.
            what: Name of the image in error messages.

        Raises:
            InvalidMaskError: The sizes differ, or an index is neither a class nor void.
        """
        counted = counted_pixels(prediction, truth, self._num_classes, what)
        rows, columns = truth[counted].astype(np.int64), prediction[counted].astype(np.int64)
        columns[columns == void_of(prediction)] = self._num_classes
        pairs = np.bincount(rows * (self._num_classes + 1) + columns, minlength=self._counts.size)
        self._counts += pairs.reshape(self._counts.shape)

    def coverage(self) -> float:
        """Returns the share of the counted pixels whose prediction is not void, NaN where none is counted."""
        total = int(self._counts.sum())
        return int(self._counts[:, :-1].sum()) / total if total else float("nan")

    def where_predicted(self) -> ConfusionMatrix:
        """Returns the counts of the pixels alone whose prediction is not void."""
        found = ConfusionMatrix(self._num_classes)
        found._counts[:, :-1] = self._counts[:, :-1]
        return found

    def iou(self) -> NDArray[np.float64]:
        """Returns the intersection over union per class, NaN where neither truth nor prediction has it."""
        hits = np.diagonal(self._counts)
        union = self._counts.sum(axis=1) + self._counts[:, :-1].sum(axis=0) - hits
        return quotients(hits, union)

    def present(self) -> NDArray[np.bool_]:
        """Says of every class whether the truth has it."""
        return np.asarray(self._counts.sum(axis=1) > 0)

    def mean_iou(self, classes: Sequence[int] | None = None) -> float:
        """Returns the mean of `iou` over classes that the truth has, NaN where it has none.

        Args:
            classes: The classes to look at, or None for all.
        """
        return mean_over_present(self.iou(), self.present(), classes)


def counted_pixels(
    prediction: LabelArray, truth: LabelArray, num_classes: int, what: str
) -> NDArray[np.bool_]:
    """Returns which pixels of an image are evaluated: those whose truth is not void.

    Args:
        prediction: Class indices, ``(H, W)``, the largest of the type void.
        truth: Likewise, of the same type.
        num_classes: Number of classes, background included.
        what: Name of the image in error messages.

    Raises:
        InvalidMaskError: The sizes differ, or an index that is evaluated is neither a class nor void.
    """
    if prediction.shape != truth.shape:
        sizes = f"prediction and truth must have one size, but got {prediction.shape} and {truth.shape}"
        raise InvalidMaskError(what, sizes)
    counted = np.asarray(truth != void_of(truth))
    for labels, kind in ((truth[counted], "truth"), (prediction[counted], "prediction")):
        void = void_of(labels)
        classes = labels[labels != void]
        if classes.size and (largest := int(classes.max())) >= num_classes:
            rule = f"class indices must be below {num_classes}, or {void} for void, but got {largest}"
            raise InvalidMaskError(f"the {kind} of {what}", rule)
    return counted


def quotients(intersection: NDArray[np.int64], union: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns intersection over union per class, float64, NaN where the union is empty."""
    nowhere = np.full(len(union), np.nan)
    return np.asarray(np.divide(intersection, union, out=nowhere, where=union > 0))


def mean_over_present(
    iou: NDArray[np.float64], present: NDArray[np.bool_], classes: Sequence[int] | None = None
) -> float:
    """Returns the mean over classes that the truth has, NaN where it has none.

    Args:
        iou: One value per class, ``(classes,)``.
        present: Whether the truth has it, ``(classes,)``.
        classes: The classes to look at, or None for all.
    """
    chosen = np.arange(len(iou)) if classes is None else np.asarray(classes, dtype=np.intp)
    chosen = chosen[present[chosen]]
    return float(iou[chosen].mean()) if chosen.size else float("nan")
