"""What the host does for one segmentation: before the network and after it. Run in the host pool."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from time import perf_counter
from typing import TYPE_CHECKING

from boxmask_core.crops import resized
from boxmask_core.densecrf import dense_crf
from boxmask_core.images import decode
from boxmask_core.segmentation import View, draw, labelled, mean_probabilities
from boxmask_server.work.host_steps import since, timed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from boxmask_core.engines import CrfEngine
    from boxmask_core.segmentation import Canvas, Labelling
    from boxmask_server.networks.buckets import Buckets
    from boxmask_server.work.segmenter import SegmentQuestion


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture that the network is shown.

    Attributes:
        canvas: How the image lies on it.
        mirrored: Whether the image is mirrored.
        pixels: uint8 RGB, ``(Hp, Wp, 3)``.
    """

    canvas: Canvas
    mirrored: bool
    pixels: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """An image as the network sees it. The image at its own size is not kept.

    Attributes:
        base: The canvas of scale 1.
        pictures: What the network is shown: each canvas once, or once more, mirrored.
        guide: uint8 RGB, ``(h, w, 3)``: the image as it is resized at scale 1, for the CRF; None without it.
        decode_ms: Milliseconds of decoding.
        draw_ms: Milliseconds of resizing and padding.
    """

    base: Canvas
    pictures: tuple[Picture, ...]
    guide: NDArray[np.uint8] | None
    decode_ms: float
    draw_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class Concluded:
    """What came of the scores.

    Attributes:
        labelling: The class of every pixel of the image.
        probabilities: float32, ``(C, h, w)``, of the image as it is resized at scale 1.
        conclude_ms: Milliseconds that it took.
    """

    labelling: Labelling
    probabilities: NDArray[np.float32]
    conclude_ms: float


def show(question: SegmentQuestion, buckets: Buckets, max_pixels: int) -> Shown:
    """Decodes an image and draws it for the network.

    Raises:
        InvalidImageError: The bytes are no image, or a broken one.
        ImageTooLargeError: The header declares more pixels than the limit.
    """
    image, decode_ms = timed(decode, question.image, max_pixels=max_pixels, what=question.what)
    start = perf_counter()
    height, width = image.shape[:2]
    base, *canvases = (buckets.canvas(width, height, scale) for scale in (1, *question.scales))
    views = product(dict.fromkeys(canvases), (False, True) if question.flip else (False,))
    return Shown(
        base=base,
        pictures=tuple(Picture(canvas, turn, draw(image, canvas, mirrored=turn)) for canvas, turn in views),
        guide=resized(image, base.resized) if question.crf else None,
        decode_ms=decode_ms,
        draw_ms=since(start),
    )


def conclude(shown: Shown, scores: Sequence[NDArray[np.float32]], engine: CrfEngine) -> Concluded:
    """Makes a label map of what the network said.

    Args:
        shown: What it was shown.
        scores: float32 scores before the softmax, ``(C, h, w)``, of every picture.
        engine: Who computes the CRF.

    Raises:
        MissingExtraError: The CRF was asked for and is not installed.
    """
    start = perf_counter()
    pairs = zip(scores, shown.pictures, strict=True)
    views = [View(planes, picture.canvas, picture.mirrored) for planes, picture in pairs]
    probabilities = mean_probabilities(views, shown.base.resized)
    if shown.guide is not None:
        probabilities = dense_crf(shown.guide, probabilities, engine=engine)
    return Concluded(labelled(probabilities, shown.base.unpadded()), probabilities, since(start))
