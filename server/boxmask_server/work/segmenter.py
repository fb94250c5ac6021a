"""From one encoded image to its label map: host work and network work, side by side.

The image is shown to the network at every scale asked for, and mirrored too where that is asked for. Views of
one size share the network's batches across questions. What the views give is averaged as probabilities at the
size that the image has at scale 1, sharpened there by the CRF, and then carried to the image's own size in
strips of rows: what an image takes beside its own pixels does not grow with the classes. A question's answer
depends on the question alone, whatever else is asked at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, Self

from boxmask_core.bundle import LGSA
from boxmask_core.errors import ImageTooLargeError
from boxmask_core.segmentation import checked_scales
from boxmask_server.networks.cuda import CPU
from boxmask_server.work.batcher import PREPARED_AHEAD, Batcher, Budget, Measure
from boxmask_server.work.concurrency import all_results
from boxmask_server.work.device_runs import DeviceRuns
from boxmask_server.work.host_steps import since
from boxmask_server.work.image_room import image_room
from boxmask_server.work.labeler import Limits, Timings
from boxmask_server.work.places import Places
from boxmask_server.work.segmentation_steps import conclude, show
from boxmask_server.work.urgency import AT_ONCE, Urgency

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from boxmask_core.engines import CrfEngine
    from boxmask_core.segmentation import Canvas, Labelling
    from boxmask_server.networks.segmentation_engine import SegmentationEngine
    from boxmask_server.networks.session import Inferred
    from boxmask_server.work.host_pool import HostPool
    from boxmask_server.work.observer import Observer
    from boxmask_server.work.segmentation_steps import Picture


MAX_BATCH_PIXELS = 4 * 768 * 768
"""Pixels of one batch, where nothing else is said: four of the largest images of our own networks."""


@dataclass(frozen=True, slots=True)
class SegmentQuestion:
    """One image whose pixels are to get a class.

    Attributes:
        image: JPEG, PNG, WebP, BMP or TIFF bytes.
        scales: Sizes to show the image at, relative to its own; the network's longest side limits them all,
            and scales that show the image at one size count once.
        flip: Whether every view is shown mirrored as well.
        crf: Whether a DenseCRF sharpens the probabilities.
        scores: Whether the answer holds the probabilities.
        what: Name of the image in error sentences.
        urgency: Who goes first, and until when the answer is wanted.
    """

    image: bytes
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    crf: bool = False
    scores: bool = False
    what: str = "image"
    urgency: Urgency = AT_ONCE


@dataclass(frozen=True, slots=True, eq=False)
class SegmentAnswer:
    """The label map of one image.

    Attributes:
        labelling: The class of every pixel, with areas and mean probabilities.
        canvas: How the image lies at scale 1, without padding: the place of the probabilities.
        probabilities: float32, ``(C, h, w)`` on that canvas, if they were asked for.
        canvases: How the image was shown, one per size, in the order of the scales.
        class_names: Names of the classes; the first has index 1.
        timings: Where the time went.
        model_digest: ``sha256:`` digest of the network.
    """

    labelling: Labelling
    canvas: Canvas
    probabilities: NDArray[np.float32] | None
    canvases: tuple[Canvas, ...]
    class_names: tuple[str, ...]
    timings: Timings
    model_digest: str


class _Showing(NamedTuple):
    pixels: NDArray[np.uint8]
    padding: int


class Segmenter:
    """Answers questions, many at a time; an asynchronous context manager.

    Args:
        engine: The network.
        pool: Where the host's work is done; it is not closed with this.
        limits: What one question may hold.
        max_batch_pixels: Pixels that the network is given at once, at most.
        crf: Who computes the CRF.
        observer: Is told what happens to batches.

    Attributes:
        batcher: Gathers pictures for the network.
    """

    def __init__(
        self,
        engine: SegmentationEngine,
        pool: HostPool,
        *,
        limits: Limits | None = None,
        max_batch_pixels: int = MAX_BATCH_PIXELS,
        crf: CrfEngine = "boxmask",
        observer: Observer | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.pool = pool
        self._engine = engine
        self._crf: CrfEngine = crf
        self._runs = DeviceRuns(_inferring(engine), engine.provider, pool)
        # Memory stays flat: enough images to fill the pool, a running batch and a prepared one.
        room = 2 * pool.workers + 2 * engine.max_batch
        self._open_images = Places(room)
        self.batcher: Batcher[_Showing, Inferred] = Batcher(
            self._runs.run,
            name=LGSA,
            budget=Budget(engine.max_batch, max_batch_pixels),
            capacity=2 * room,
            in_flight=engine.runs_at_once if engine.provider == CPU else PREPARED_AHEAD,
            # Side by side more is done, one after the other each is answered sooner: it takes a crowd.
            crowd=engine.runs_at_once if engine.provider == CPU else 1,
            measure=_measure,
            observer=observer,
        )

    async def __aenter__(self) -> Self:
        await self.pool.run(self._engine.warm_up)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.batcher.close()
        self._runs.close()

    async def segment(self, question: SegmentQuestion) -> SegmentAnswer:
        """Gives every pixel its class.

        Cancelling the caller frees what it asked for: views that no worker has begun cost nothing.

        Raises:
            InvalidImageError: The bytes are no image, or a broken one.
            ImageTooLargeError: More bytes or pixels than the limit.
            InvalidRequestError: The scales are too many or out of range.
            MissingExtraError: The CRF was asked for and is not installed.
            DeadlineError: The answer cannot come in time any more.
        """
        start = perf_counter()
        self._check(question)
        urgency, limit = question.urgency, self.limits.max_pixels
        async with self._open_images.hold(priority=urgency.priority):
            async with image_room(self.pool, urgency, question.image, limit, question.what) as header_ms:
                shown = await self.pool.run_for(urgency, show, question, self._engine.buckets, limit)
            asked = perf_counter()
            found = await all_results(self._showing(picture, urgency) for picture in shown.pictures)
            network_ms = since(asked)
            scores = [each.values for each in found]
            result = await self.pool.run_for(urgency, conclude, shown, scores, self._crf)
        worked_ms = header_ms + shown.decode_ms + shown.draw_ms + result.conclude_ms
        inference_ms = sum(each.milliseconds for each in found)
        total_ms = since(start)
        return SegmentAnswer(
            labelling=result.labelling,
            canvas=shown.base.unpadded(),
            probabilities=result.probabilities if question.scores else None,
            canvases=tuple(dict.fromkeys(picture.canvas for picture in shown.pictures)),
            class_names=self._engine.class_names,
            timings=Timings(
                decode_ms=header_ms + shown.decode_ms,
                crop_ms=shown.draw_ms,
                network_ms=network_ms,
                inference_ms=inference_ms,
                refine_ms=result.conclude_ms,
                total_ms=total_ms,
                queue_ms=max(total_ms - worked_ms - inference_ms, 0.0),
            ),
            model_digest=self._engine.digest,
        )

    async def scores(self, pixels: NDArray[np.uint8], urgency: Urgency = AT_ONCE) -> Inferred:
        """Returns what the network says of one picture, in a batch with whatever else is asked.

        Args:
            pixels: uint8 RGB, ``(H, W, 3)``, H and W multiples of the network's step.
            urgency: Who goes first, and until when the answer is wanted.

        Raises:
            DeadlineError: The answer cannot come in time any more.
        """
        return await self.batcher.submit(_Showing(pixels, 0), urgency=urgency)

    async def _showing(self, picture: Picture, urgency: Urgency) -> Inferred:
        (width, height), (across, down) = picture.canvas.resized, picture.canvas.padded
        showing = _Showing(picture.pixels, across * down - width * height)
        return await self.batcher.submit(showing, urgency=urgency)

    def _check(self, question: SegmentQuestion) -> None:
        if len(question.image) > self.limits.max_bytes:
            raise ImageTooLargeError("bytes", len(question.image), self.limits.max_bytes)
        checked_scales(question.scales)


def _inferring(engine: SegmentationEngine) -> Callable[[Sequence[_Showing], bool], list[Inferred]]:
    return lambda batch, beside: engine.infer([showing.pixels for showing in batch], beside=beside)


def _measure(showing: _Showing) -> Measure:
    height, width = showing.pixels.shape[:2]
    return Measure((height, width), height * width, showing.padding)
