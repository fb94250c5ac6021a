"""The way of a whole image into a segmentation network, and of the network's scores back to its pixels.

The network takes sizes that are multiples of its step, up to its longest side. An image is resized if it is
larger, then padded at the right and at the bottom to the next multiples: that padded size is its bucket.
Scores come back at the network's stride, cell (i, j) covering pixels [i*s, (i+1)*s), and are carried to
pixels by bilinear interpolation between the centres of the cells. That is done in strips of rows, so that an
image of many megapixels never holds a float plane per class at its full size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from boxmask_core.crops import PADDING, resized
from boxmask_core.errors import InvalidRequestError
from boxmask_core.interpolation import between_cells, interpolated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

PADDING_COLOUR: Final = PADDING
"""RGB of what lies right of and below the image: the mean colour of ImageNet, as around the crops of CFS."""
MAX_SCALES: Final = 8
LEAST_SCALE: Final = 0.25
GREATEST_SCALE: Final = 4.0
STRIP: Final = 1 << 20
"""Values of one strip of rows, about: 4 MB of float32."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """How one image is shown to the network.

    Attributes:
        width: Width of the image, pixels.
        height: Height of the image, pixels.
        resized: ``(width, height)`` that the image is resized to, at the top left of the canvas.
        padded: ``(width, height)`` of the canvas; its shape is the bucket.
    """

    width: int
    height: int
    resized: tuple[int, int]
    padded: tuple[int, int]

    def unpadded(self) -> Canvas:
        """Returns the canvas of planes that have one value for every pixel of the resized image."""
        return replace(self, padded=self.resized)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What the network said of one showing of an image.

    Attributes:
        scores: float32 scores before the softmax, ``(C, h, w)``.
        canvas: How the image was shown.
        mirrored: Whether it was shown mirrored.
    """

    scores: NDArray[np.float32]
    canvas: Canvas
    mirrored: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Labelling:
    """The class of every pixel of an image.

    Attributes:
        classes: uint8, ``(H, W)``: the class of the highest value, the lower index where two are equal.
        areas: int64, ``(C,)``: pixels of each class.
        means: float64, ``(C,)``: mean value of each class over its own pixels; 0 where it has none.
    """

    classes: NDArray[np.uint8]
    areas: NDArray[np.int64]
    means: NDArray[np.float64]


def canvas_for(width: int, height: int, step: int, max_side: int, *, scale: float = 1.0) -> Canvas:
    """Returns how an image is shown to a network.

    Args:
        width: Width of the image, pixels.
        height: Height of the image, pixels.
        step: What the canvas's sides are multiples of.
        max_side: Longest side that the image is shown with, at whatever scale.
        scale: Size to show the image at, relative to its own.
    """
    factor = min(scale, max_side / max(width, height))
    shown = max(round(width * factor), 1), max(round(height * factor), 1)
    return Canvas(width, height, shown, (_next_multiple(shown[0], step), _next_multiple(shown[1], step)))


def checked_scales(scales: Sequence[float]) -> tuple[float, ...]:
    """Returns the scales that one image is asked to be shown at.

    Raises:
        InvalidRequestError: They are too many, or out of range.
    """
    if not 1 <= len(scales) <= MAX_SCALES:
        raise InvalidRequestError("scales", f"expected 1 to {MAX_SCALES} of them, but got {len(scales)}")
    for scale in scales:
        if not LEAST_SCALE <= scale <= GREATEST_SCALE:  # also where it is not a number
            rule = f"expected each from {LEAST_SCALE:g} to {GREATEST_SCALE:g}"
            raise InvalidRequestError("scales", f"{rule}, but got {scale:g}")
    return tuple(scales)


def draw(image: NDArray[np.uint8], canvas: Canvas, *, mirrored: bool = False) -> NDArray[np.uint8]:
    """Draws an image on its canvas: by area where it shrinks, bilinearly where it grows.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
        canvas: Where it is drawn.
        mirrored: Whether left and right of the image change places; the padding stays at the right.

    Returns:
        uint8 RGB of the canvas's padded size, ``(Hp, Wp, 3)``.
    """
    (width, height), (padded_width, padded_height) = canvas.resized, canvas.padded
    out = np.empty((padded_height, padded_width, 3), dtype=np.uint8)
    out[:] = PADDING_COLOUR
    picture = resized(image, canvas.resized)
    out[:height, :width] = picture[:, ::-1] if mirrored else picture
    return out


def carry_back(planes: NDArray[np.float32], canvas: Canvas) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Carries planes to the pixels of the image, strip by strip.

    Args:
        planes: float32, ``(C, h, w)``, spread evenly over the canvas's padded size.
        canvas: How the image was shown.

    Yields:
        Rows of the image, from the top, and their float32 values, ``(C, rows, W)``.
    """
    count, cells_down, cells_across = planes.shape
    across = between_cells(canvas.width, canvas.resized[0], canvas.padded[0], cells_across)
    down = between_cells(canvas.height, canvas.resized[1], canvas.padded[1], cells_down)
    rows = max(STRIP // (count * canvas.width), 1)
    for start in range(0, canvas.height, rows):
        part = slice(start, min(start + rows, canvas.height))
        here, first, last = down.part(part)
        wide = interpolated(planes[:, first : last + 1], across, axis=2)
        yield part, interpolated(wide, here, axis=1)


def mean_probabilities(views: Sequence[View], size: tuple[int, int]) -> NDArray[np.float32]:
    """Returns the mean of what the views give for probabilities.

    The scores of each view are carried to pixels and put through the softmax there; the mean is taken after
    that, of probabilities.

    Args:
        views: What the network said, one showing at least.
        size: ``(width, height)`` of the result.

    Returns:
        float32, ``(C, height, width)``, 0 to 1; the classes of a pixel sum to 1.
    """
    width, height = size
    total = np.zeros((views[0].scores.shape[0], height, width), dtype=np.float32)
    for view in views:
        for rows, strip in carry_back(view.scores, replace(view.canvas, width=width, height=height)):
            probability = softmax(strip)
            total[:, rows] += probability[:, :, ::-1] if view.mirrored else probability
    total /= len(views)
    return total


def labelled(planes: NDArray[np.float32], canvas: Canvas) -> Labelling:
    """Gives every pixel of the image the class of its highest value.

    Args:
        planes: float32 scores or probabilities, ``(C, h, w)``, as for `carry_back`; at most 256 classes.
        canvas: How the image was shown.
    """
    count = planes.shape[0]
    classes = np.zeros((canvas.height, canvas.width), dtype=np.uint8)
    areas = np.zeros(count, dtype=np.int64)
    sums = np.zeros(count, dtype=np.float64)
    for rows, strip in carry_back(planes, canvas):
        part, best = classes[rows], strip[0].copy()
        for index in range(1, count):  # several times as fast as argmax over the first axis
            np.copyto(part, index, where=strip[index] > best)
            np.maximum(best, strip[index], out=best)
        areas += np.bincount(part.ravel(), minlength=count)
        sums += np.bincount(part.ravel(), weights=best.ravel(), minlength=count)
    return Labelling(classes, areas, sums / np.maximum(areas, 1))


def label_map(scores: NDArray[np.float32], canvas: Canvas) -> NDArray[np.uint8]:
    """Returns the label map alone. Arguments as for `labelled`.

    Returns:
        uint8 class indices, ``(H, W)``.
    """
    return labelled(scores, canvas).classes


def class_probabilities(
    probabilities: NDArray[np.float32], canvas: Canvas, classes: Sequence[int]
) -> NDArray[np.uint8]:
    """Carries the probabilities of some classes to the pixels of the image, in 8 bits.

    Args:
        probabilities: float32, 0 to 1, ``(C, h, w)``, as for `carry_back`.
        canvas: How the image was shown.
        classes: Indices of the classes.

    Returns:
        uint8, ``(len(classes), H, W)``: probability times 255, rounded.
    """
    out = np.empty((len(classes), canvas.height, canvas.width), dtype=np.uint8)
    for rows, strip in carry_back(probabilities[list(classes)], canvas):
        out[:, rows] = np.rint(strip * 255)
    return out


def _next_multiple(side: int, step: int) -> int:
    return -(-side // step) * step


def softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the probabilities of scores, along the first axis."""
    powers: NDArray[np.float32] = np.exp(scores - scores.max(axis=0))
    powers /= powers.sum(axis=0)
    return powers
