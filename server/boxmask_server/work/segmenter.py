"""From one encoded image to its label map: host work and network work, side by side.

The image is shown to the network at every scale asked for, and mirrored too where that is asked for. Views of
one size share the network's batches across questions. What the views give is averaged as probabilities at the
size that the image has at scale 1, sharpened there by the CRF, and then carried to the image's own size in
strips of rows: what an image takes beside its own pixels does not grow with the classes. A question's answer
depends on the question alone, whatever else is asked at the same time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Self

from boxmask_core.errors import ImageTooLargeError
from boxmask_core.segmentation import checked_scales
from boxmask_server.work.batcher import Batcher
from boxmask_server.work.concurrency import all_results
from boxmask_server.work.host_steps import since
from boxmask_server.work.labeler import Limits, Timings
from boxmask_server.work.segmentation_steps import conclude, show

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from boxmask_core.engines import CrfEngine
    from boxmask_core.segmentation import Canvas, Labelling
    from boxmask_server.networks.segmentation_engine import SegmentationEngine
    from boxmask_server.work.host_pool import HostPool


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
    """

    image: bytes
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    crf: bool = False
    scores: bool = False
    what: str = "image"


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


class Segmenter:
    """Answers questions, many at a time; an asynchronous context manager.

    Args:
        engine: The network.
        pool: Where the host's work is done; it is not closed with this.
        limits: What one question may hold.
        crf: Who computes the CRF.
    """

    def __init__(
        self,
        engine: SegmentationEngine,
        pool: HostPool,
        *,
        limits: Limits | None = None,
        crf: CrfEngine = "boxmask",
    ) -> None:
        self.limits = limits or Limits()
        self.pool = pool
        self._engine = engine
        self._crf: CrfEngine = crf
        batch = engine.max_batch
        self._batcher = Batcher(engine.infer, max_batch=batch, capacity=4 * batch, kind=_shape)
        # Memory stays flat: enough images to fill a running batch, a prepared one and the pool.
        self._open_images = asyncio.Semaphore(pool.workers + 2 * batch)

    async def __aenter__(self) -> Self:
        await self.pool.run(self._engine.warm_up)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._batcher.close()

    async def segment(self, question: SegmentQuestion) -> SegmentAnswer:
        """Gives every pixel its class.

        Cancelling the caller frees what it asked for: views that no worker has begun cost nothing.

        Raises:
            InvalidImageError: The bytes are no image, or a broken one.
            ImageTooLargeError: More bytes or pixels than the limit.
            InvalidRequestError: The scales are too many or out of range.
            MissingExtraError: The CRF was asked for and is not installed.
        """
        start = perf_counter()
        self._check(question)
        async with self._open_images:
            shown = await self.pool.run(show, question, self._engine.size, self.limits.max_pixels)
            asked = perf_counter()
            found = await all_results(self._batcher.submit(picture.pixels) for picture in shown.pictures)
            network_ms = since(asked)
            scores = [each.values for each in found]
            result = await self.pool.run(conclude, shown, scores, self._crf)
        return SegmentAnswer(
            labelling=result.labelling,
            canvas=shown.base.unpadded(),
            probabilities=result.probabilities if question.scores else None,
            canvases=tuple(dict.fromkeys(picture.canvas for picture in shown.pictures)),
            class_names=self._engine.class_names,
            timings=Timings(
                decode_ms=shown.decode_ms,
                crop_ms=shown.draw_ms,
                network_ms=network_ms,
                inference_ms=sum(each.milliseconds for each in found),
                refine_ms=result.conclude_ms,
                total_ms=since(start),
            ),
            model_digest=self._engine.digest,
        )

    def _check(self, question: SegmentQuestion) -> None:
        if len(question.image) > self.limits.max_bytes:
            raise ImageTooLargeError("bytes", len(question.image), self.limits.max_bytes)
        checked_scales(question.scales)


def _shape(picture: NDArray[np.uint8]) -> tuple[int, ...]:
    return picture.shape
