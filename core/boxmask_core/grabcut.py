"""GrabCut: the coarse proposal from a box, and the refinement of CFS's probability.

Both work on the crop of the expanded box, never on the whole image, and both always answer: where the
colours allow no cut, a documented rung of the fallback ladder answers instead and is recorded.

The ladder of `coarse_proposal`, in this order; rung 2 goes on to the later ones, and the last that applies is
recorded:

1. ``tiny_box``: the box has a side under 3 pixels or an area under 9: the filled box.
2. ``box_covers_image``: no pixel of the crop lies outside the box: the box is shrunk by 3 % of its side
   (3 pixels at least) so that a rim of background exists, and GrabCut runs.
3. ``constant_colour``: all pixels of the crop are equal: the filled box.
4. ``empty_foreground``: the cut left no foreground: the filled box.
5. ``small_mask``: the cut left less than 15 % of the box: the filled box (Khoreva et al. 2017 use the
   same bound).

The ladder of `refine_proposal`:

1. ``empty_foreground`` or ``empty_background``: the trimap has no certain pixel of that side, so there are
   no colours to learn from: CFS's own mask, probability > 0.5.
2. ``constant_colour``: as above: CFS's own mask.
3. ``small_mask``: the refined mask holds less than 15 % of the box while CFS's own mask holds more: CFS's
   own mask.
4. ``cfs_silent``: CFS's own mask holds less than 15 % of the box as well: the coarse proposal.

Two engines cut: ``boxmask`` (`boxmask_core.graph_cut`, compiled by numba), and ``opencv`` (`cv2.grabCut`),
which takes many times as long and needs nothing more. ``python -m benchmarks.grabcut`` compares them.

Source: Rother, Kolmogorov, Blake, "GrabCut", ACM TOG 2004; trimap thresholds from Xie et al. 2020, 3.2.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from boxmask_core.boxes import Box, Window
from boxmask_core.engines import GRABCUT_ENGINES
from boxmask_core.errors import InvalidInputError, MissingExtraError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from boxmask_core.engines import GrabCutEngine

FOREGROUND_ABOVE = 0.6
BACKGROUND_BELOW = 0.4
MIN_FILL = 0.15
TINY_SIDE = 3
TINY_AREA = 9
COARSE_ITERATIONS = 5
REFINE_ITERATIONS = 1
_NO_RECTANGLE = (0, 0, 0, 0)


class Fallback(enum.StrEnum):
    """Which rung of the ladder gave the mask; `NONE` where the method itself did."""

    NONE = "none"
    TINY_BOX = "tiny_box"
    BOX_COVERS_IMAGE = "box_covers_image"
    CONSTANT_COLOUR = "constant_colour"
    EMPTY_FOREGROUND = "empty_foreground"
    EMPTY_BACKGROUND = "empty_background"
    SMALL_MASK = "small_mask"
    CFS_SILENT = "cfs_silent"


@dataclass(frozen=True, slots=True)
class Proposal:
    """The mask of one instance, cropped.

    Attributes:
        window: Where the mask lies in the image: the box's pixels inside the image.
        mask: bool, ``(window.height, window.width)``, True for foreground. Outside the window all is
            background.
        fallback: The rung of the ladder that gave it.
    """

    window: Window
    mask: NDArray[np.bool_]
    fallback: Fallback

    @property
    def fill(self) -> float:
        """Fraction of the box that is foreground, 0 to 1."""
        return float(self.mask.mean())


def filled_box(image_size: tuple[int, int], box: Box, fallback: Fallback = Fallback.NONE) -> Proposal:
    """Returns the box itself as a mask.

    Args:
        image_size: ``(width, height)`` of the image, pixels.
        box: The box.
        fallback: The rung to record.

    Raises:
        InvalidBoxError: The box lies outside the image.
    """
    window = box.clipped(*image_size).window().clipped(*image_size)
    return Proposal(window, np.ones((window.height, window.width), dtype=np.bool_), fallback)


def coarse_proposal(
    image: NDArray[np.uint8],
    box: Box,
    *,
    iterations: int = COARSE_ITERATIONS,
    seed: int = 0,
    engine: GrabCutEngine = "boxmask",
) -> Proposal:
    """Cuts the object out of its box by colour alone: rectangle GrabCut on the expanded crop.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
        box: The object's box; it must overlap the image.
        iterations: GrabCut iterations.
        seed: Seed of the colour models; the result depends on nothing else.
        engine: Who cuts.

    Raises:
        InvalidBoxError: The box lies outside the image.
        InvalidInputError: There is no such engine.
        MissingExtraError: Engine ``boxmask`` needs numba, which is not installed.
    """
    _check(engine)
    height, width = image.shape[:2]
    filled = filled_box((width, height), box)
    window = filled.window
    if min(window.width, window.height) < TINY_SIDE or window.area < TINY_AREA:
        return filled_box((width, height), box, Fallback.TINY_BOX)
    crop_window = box.expanded_window(width, height).clipped(width, height)
    fallback = Fallback.NONE
    inner = window
    if crop_window == window:
        inner = _shrunk(window)
        fallback = Fallback.BOX_COVERS_IMAGE
    crop = image[crop_window.slices()]
    if _is_constant(crop):
        return filled_box((width, height), box, Fallback.CONSTANT_COLOUR)
    trimap = np.full(crop.shape[:2], cv2.GC_BGD, dtype=np.uint8)
    trimap[inner.relative_to(crop_window).slices()] = cv2.GC_PR_FGD
    mask = _cut(crop, trimap, iterations, seed, engine)[window.relative_to(crop_window).slices()]
    if not mask.any():
        return filled_box((width, height), box, Fallback.EMPTY_FOREGROUND)
    if mask.mean() < MIN_FILL:
        return filled_box((width, height), box, Fallback.SMALL_MASK)
    return Proposal(window, mask, fallback)


def refine_proposal(
    image: NDArray[np.uint8],
    box: Box,
    probability: NDArray[np.float32],
    window: Window,
    *,
    iterations: int = REFINE_ITERATIONS,
    seed: int = 0,
    engine: GrabCutEngine = "boxmask",
) -> Proposal:
    """Sharpens CFS's foreground probability with GrabCut under the trimap of the paper.

    Pixels above 0.6 are foreground, below 0.4 background, between them probable foreground. What lies
    outside the box is background, as in CFS's training targets (equation 1).

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
        box: The object's box; it must overlap the image.
        probability: float32 foreground probability, 0 to 1, ``(window.height, window.width)``.
        window: Where the probability lies in the image: the expanded box's pixels inside the image.
        iterations: GrabCut iterations.
        seed: Seed of the colour models; the result depends on nothing else.
        engine: Who cuts.

    Raises:
        InvalidBoxError: The box lies outside the image.
        InvalidInputError: There is no such engine.
        MissingExtraError: Engine ``boxmask`` needs numba, which is not installed.
    """
    _check(engine)
    cfs = cfs_proposal(image, box, probability, window, seed=seed, engine=engine)
    if cfs.fallback is not Fallback.NONE:
        return cfs
    inner = cfs.window.relative_to(window)
    crop = image[window.slices()]
    trimap = np.full(probability.shape, cv2.GC_BGD, dtype=np.uint8)
    trimap[inner.slices()] = _trimap(probability[inner.slices()])
    if not (trimap == cv2.GC_FGD).any():
        return Proposal(cfs.window, cfs.mask, Fallback.EMPTY_FOREGROUND)
    if not (trimap == cv2.GC_BGD).any():
        return Proposal(cfs.window, cfs.mask, Fallback.EMPTY_BACKGROUND)
    if _is_constant(crop):
        return Proposal(cfs.window, cfs.mask, Fallback.CONSTANT_COLOUR)
    mask = _cut(crop, trimap, iterations, seed, engine)[inner.slices()]
    if mask.mean() < MIN_FILL:
        return Proposal(cfs.window, cfs.mask, Fallback.SMALL_MASK)
    return Proposal(cfs.window, mask, Fallback.NONE)


def cfs_proposal(
    image: NDArray[np.uint8],
    box: Box,
    probability: NDArray[np.float32],
    window: Window,
    *,
    seed: int = 0,
    engine: GrabCutEngine = "boxmask",
) -> Proposal:
    """Returns CFS's own mask (probability > 0.5 inside the box), or the coarse proposal where it is silent.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
        box: The object's box; it must overlap the image.
        probability: float32 foreground probability, 0 to 1, ``(window.height, window.width)``.
        window: Where the probability lies in the image.
        seed: Seed of the coarse proposal, if it is needed.
        engine: Who makes it.

    Raises:
        InvalidBoxError: The box lies outside the image.
        InvalidInputError: There is no such engine.
        MissingExtraError: Engine ``boxmask`` needs numba, which is not installed.
    """
    _check(engine)
    height, width = image.shape[:2]
    inside = filled_box((width, height), box).window
    mask = probability[inside.relative_to(window).slices()] > 0.5
    if mask.mean() < MIN_FILL:
        coarse = coarse_proposal(image, box, seed=seed, engine=engine)
        return Proposal(coarse.window, coarse.mask, Fallback.CFS_SILENT)
    return Proposal(inside, mask, Fallback.NONE)


def _trimap(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    trimap = np.full(probability.shape, cv2.GC_PR_FGD, dtype=np.uint8)
    trimap[probability > FOREGROUND_ABOVE] = cv2.GC_FGD
    trimap[probability < BACKGROUND_BELOW] = cv2.GC_BGD
    return trimap


def _shrunk(window: Window) -> Window:
    dx = min(max(3, round(0.03 * window.width)), (window.width - 1) // 2)
    dy = min(max(3, round(0.03 * window.height)), (window.height - 1) // 2)
    return Window(window.x0 + dx, window.y0 + dy, window.x1 - dx, window.y1 - dy)


def _is_constant(crop: NDArray[np.uint8]) -> bool:
    return bool((crop == crop[0, 0]).all())


def _check(engine: GrabCutEngine) -> None:
    if engine not in GRABCUT_ENGINES:
        raise InvalidInputError(f"expected the engine to be one of {GRABCUT_ENGINES}, but got {engine!r}")


def _cut(
    crop: NDArray[np.uint8], trimap: NDArray[np.uint8], iterations: int, seed: int, engine: GrabCutEngine
) -> NDArray[np.bool_]:
    if engine == "opencv":
        return _opencv(crop, trimap, iterations, seed)
    try:  # imported here, since clients want the proposals' types and have no numba
        from boxmask_core.graph_cut import cut_out
    except MissingExtraError as error:
        what = "GrabCut by engine 'boxmask' (engine 'opencv' is slower and does without)"
        raise MissingExtraError(what, "numba", "local") from error
    return cut_out(crop, trimap, iterations=iterations, seed=seed)


def _opencv(
    crop: NDArray[np.uint8], trimap: NDArray[np.uint8], iterations: int, seed: int
) -> NDArray[np.bool_]:
    cv2.setRNGSeed(seed)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    bgr = np.ascontiguousarray(crop[:, :, ::-1])
    try:
        labels, _, _ = cv2.grabCut(bgr, trimap, _NO_RECTANGLE, *models, iterations, cv2.GC_INIT_WITH_MASK)
    except cv2.error:  # a colour model lost its last sample between two iterations: no foreground is left
        return np.zeros(trimap.shape, dtype=np.bool_)
    return np.asarray((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))
