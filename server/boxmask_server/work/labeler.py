"""From one encoded image and its boxes to masks: host work and network work, side by side.

Boxes of many questions share the network's batches; decoding, cropping and GrabCut run beside it in the host
pool. A question's answer depends on the question alone, whatever else is asked at the same time.
"""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Self

from boxmask_core.crops import network_crop
from boxmask_core.errors import ImageTooLargeError, InvalidRequestError, TooManyBoxesError
from boxmask_server.networks.cfs_engine import CfsInput
from boxmask_server.networks.session import CPU
from boxmask_server.work.batcher import Batcher
from boxmask_server.work.concurrency import all_results
from boxmask_server.work.host_steps import cfs_mask, filled_mask, grabcut_mask, open_image, since, timed

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from boxmask_core.engines import GrabCutEngine
    from boxmask_core.instances import Instance, InstanceMask
    from boxmask_server.networks.cfs_engine import CfsEngine
    from boxmask_server.networks.session import Inferred
    from boxmask_server.work.host_pool import HostPool


class Method(enum.StrEnum):
    """How a mask is made from a box."""

    BOX = "box"
    GRABCUT = "grabcut"
    CFS = "cfs"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one question may hold.

    Attributes:
        max_bytes: Bytes of the encoded image.
        max_pixels: Pixels of the image, read from its header.
        max_boxes: Boxes of the image.
    """

    max_bytes: int = 64 * 1024 * 1024
    max_pixels: int = 64_000_000
    max_boxes: int = 1000


@dataclass(frozen=True, slots=True)
class Question:
    """One image whose boxes are to become masks.

    Attributes:
        image: JPEG, PNG, WebP, BMP or TIFF bytes.
        instances: The objects.
        method: How masks are made.
        refine: Whether GrabCut sharpens the network's probability; other methods ignore it.
        what: Name of the image in error sentences.
    """

    image: bytes
    instances: tuple[Instance, ...]
    method: Method = Method.CFS
    refine: bool = True
    what: str = "image"


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one question went, milliseconds.

    Times of work are without waiting for a worker, and those of single boxes are added up: boxes are worked
    on side by side, so the sum may exceed the total.

    Attributes:
        decode_ms: Header check, decoding, orientation.
        crop_ms: Cropping and resizing the expanded boxes; of a segmentation, resizing and padding the image.
        network_ms: Waiting for the network, queue and batch together: the longest of the boxes; of a
            segmentation, all views.
        inference_ms: The network's own work, a batch's time shared out among its items.
        refine_ms: GrabCut, and resizing the probability; of a segmentation, carrying the scores back, and
            the CRF.
        total_ms: From the question to the masks.
    """

    decode_ms: float
    crop_ms: float
    network_ms: float
    inference_ms: float
    refine_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The masks of one image.

    Attributes:
        width: Width of the EXIF-oriented image, pixels.
        height: Height likewise.
        masks: One per instance, in the question's order.
        timings: Where the time went.
        model_digest: ``sha256:`` digest of the network that answered; empty where none was used.
    """

    width: int
    height: int
    masks: tuple[InstanceMask, ...]
    timings: Timings
    model_digest: str


@dataclass(frozen=True, slots=True)
class _BoxAnswer:
    mask: InstanceMask
    crop_ms: float = 0.0
    network_ms: float = 0.0
    inference_ms: float = 0.0
    refine_ms: float = 0.0


class PseudoLabeler:
    """Answers questions, many at a time; an asynchronous context manager.

    Args:
        engine: The network, or None where only boxes and GrabCut are asked for.
        pool: Where the host's work is done; it is not closed with this.
        limits: What one question may hold.
        max_batch: Boxes that the network is given at once, at most.
        grabcut: Who computes GrabCut.
    """

    def __init__(
        self,
        engine: CfsEngine | None,
        pool: HostPool,
        *,
        limits: Limits | None = None,
        max_batch: int = 16,
        grabcut: GrabCutEngine = "boxmask",
    ) -> None:
        self.limits = limits or Limits()
        self.pool = pool
        self._engine = engine
        self._grabcut: GrabCutEngine = grabcut
        self._batcher = _batcher(engine, pool, max_batch) if engine is not None else None
        self._class_indices = {name: i for i, name in enumerate(engine.class_names)} if engine else {}
        # Memory stays flat: enough images and boxes to fill a running batch, a prepared one and the pool.
        self._open_images = asyncio.Semaphore(pool.workers + 2 * max_batch)
        self._open_boxes = asyncio.Semaphore(pool.workers + 4 * max_batch)

    async def __aenter__(self) -> Self:
        if self._engine is not None:
            await self.pool.run(self._engine.warm_up)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._batcher is not None:
            await self._batcher.close()

    async def pseudo_label(self, question: Question) -> Answer:
        """Makes one mask per instance.

        Cancelling the caller frees what it asked for: boxes that no worker has begun cost nothing.

        Raises:
            InvalidBoxError: A box is degenerate or lies outside the image; it names which.
            InvalidImageError: The bytes are no image, or a broken one.
            ImageTooLargeError: More bytes or pixels than the limit.
            TooManyBoxesError: More boxes than the limit.
            InvalidRequestError: The method needs a network and there is none.
        """
        start = perf_counter()
        self._check(question)
        async with self._open_images:
            image, decode_ms = await self.pool.run(
                timed, open_image, question.image, question.instances, self.limits.max_pixels, question.what
            )
            boxes = await all_results(self._one_box(image, each, question) for each in question.instances)
        uses_network = self._engine is not None and question.method is Method.CFS
        return Answer(
            width=image.shape[1],
            height=image.shape[0],
            masks=tuple(box.mask for box in boxes),
            timings=Timings(
                decode_ms=decode_ms,
                crop_ms=sum(box.crop_ms for box in boxes),
                network_ms=max((box.network_ms for box in boxes), default=0.0),
                inference_ms=sum(box.inference_ms for box in boxes),
                refine_ms=sum(box.refine_ms for box in boxes),
                total_ms=since(start),
            ),
            model_digest=self._engine.digest if self._engine is not None and uses_network else "",
        )

    def _check(self, question: Question) -> None:
        if len(question.image) > self.limits.max_bytes:
            raise ImageTooLargeError("bytes", len(question.image), self.limits.max_bytes)
        if len(question.instances) > self.limits.max_boxes:
            raise TooManyBoxesError(len(question.instances), self.limits.max_boxes)
        if question.method is Method.CFS and self._batcher is None:
            raise InvalidRequestError("method", "'cfs' needs a network and none is loaded; use 'grabcut'")

    async def _one_box(self, image: NDArray[np.uint8], instance: Instance, question: Question) -> _BoxAnswer:
        async with self._open_boxes:
            if question.method is Method.CFS and self._engine is not None and self._batcher is not None:
                return await self._cfs(image, instance, question.refine, self._engine, self._batcher)
            if question.method is Method.BOX:
                step = filled_mask
            else:
                step = partial(grabcut_mask, engine=self._grabcut)
            mask, refine_ms = await self.pool.run(timed, step, image, instance)
            return _BoxAnswer(mask, refine_ms=refine_ms)

    async def _cfs(
        self,
        image: NDArray[np.uint8],
        instance: Instance,
        refine: bool,
        engine: CfsEngine,
        batcher: Batcher[CfsInput, Inferred],
    ) -> _BoxAnswer:
        crop, crop_ms = await self.pool.run(timed, network_crop, image, instance.box, engine.input_size)
        asked = perf_counter()
        class_index = self._class_indices.get(instance.class_name)
        found = await batcher.submit(
            CfsInput(crop.pixels, crop.box_mask, class_index), work=crop.window.area if refine else 0.0
        )
        network_ms = since(asked)
        step = partial(cfs_mask, refine=refine, engine=self._grabcut)
        mask, refine_ms = await self.pool.run(timed, step, image, instance, found.values, crop.window)
        return _BoxAnswer(mask, crop_ms, network_ms, found.milliseconds, refine_ms)


def _batcher(engine: CfsEngine, pool: HostPool, max_batch: int) -> Batcher[CfsInput, Inferred]:
    # On the CPU the network runs in the host pool's threads, so that no core is asked for twice.
    run = partial(engine.infer, spread=pool.map) if engine.provider == CPU else engine.infer
    return Batcher(run, max_batch=max_batch, capacity=4 * max_batch)
