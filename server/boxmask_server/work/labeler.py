"""From one encoded image and its boxes to masks: host work and network work, side by side.

Boxes of many questions share the network's batches; decoding, cropping and GrabCut run beside it in the host
pool. A question's answer depends on the question alone, whatever else is asked at the same time.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Self

from boxmask_core.bundle import CFS
from boxmask_core.crops import network_crop
from boxmask_core.errors import ImageTooLargeError, InvalidRequestError, TooManyBoxesError
from boxmask_server.networks.cfs_engine import CfsInput
from boxmask_server.networks.cuda import CPU
from boxmask_server.work.batcher import PREPARED_AHEAD, Batcher, Budget, Measure
from boxmask_server.work.concurrency import all_results
from boxmask_server.work.device_runs import DeviceRuns
from boxmask_server.work.host_steps import (
    beside_each_other,
    cfs_mask,
    filled_mask,
    grabcut_mask,
    open_image,
    since,
    timed,
)
from boxmask_server.work.image_room import image_room
from boxmask_server.work.places import Places
from boxmask_server.work.urgency import AT_ONCE, Urgency

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from boxmask_core.engines import GrabCutEngine
    from boxmask_core.instances import Instance, InstanceMask
    from boxmask_server.networks.cfs_engine import CfsEngine
    from boxmask_server.networks.session import Inferred
    from boxmask_server.work.host_pool import HostPool
    from boxmask_server.work.observer import Observer


GPU_BATCH = 16
"""Boxes of one batch beside a GPU, where nothing else is said."""


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
        urgency: Who goes first, and until when the answer is wanted.
    """

    image: bytes
    instances: tuple[Instance, ...]
    method: Method = Method.CFS
    refine: bool = True
    what: str = "image"
    urgency: Urgency = AT_ONCE


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
        refine_ms: GrabCut, resizing the probability, and judging the masks; of a segmentation, carrying the
            scores back, and the CRF.
        total_ms: From the question to the masks.
        queue_ms: Waiting for a place, for workers and for the network, without work: the longest of the
            boxes.
    """

    decode_ms: float
    crop_ms: float
    network_ms: float
    inference_ms: float
    refine_ms: float
    total_ms: float
    queue_ms: float


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
    elapsed_ms: float = 0.0

    @property
    def queue_ms(self) -> float:
        return max(self.elapsed_ms - self.crop_ms - self.inference_ms - self.refine_ms, 0.0)


class PseudoLabeler:
    """Answers questions, many at a time; an asynchronous context manager.

    Args:
        engine: The network, or None where only boxes and GrabCut are asked for.
        pool: Where the host's work is done; it is not closed with this.
        limits: What one question may hold.
        max_batch: Boxes that the network is given at once, at most. None for what suits the device: on the
            CPU one, since many at once are not faster, and whoever is urgent would wait for all of them.
        grabcut: Who computes GrabCut.
        observer: Is told what happens to batches.

    Attributes:
        batcher: Gathers boxes for the network; None without one.
    """

    def __init__(
        self,
        engine: CfsEngine | None,
        pool: HostPool,
        *,
        limits: Limits | None = None,
        max_batch: int | None = None,
        grabcut: GrabCutEngine = "boxmask",
        observer: Observer | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.pool = pool
        self._engine = engine
        self._grabcut: GrabCutEngine = grabcut
        on_cpu = engine is None or engine.provider == CPU
        max_batch = max_batch or (1 if on_cpu else GPU_BATCH)
        # Memory stays flat: enough images and boxes to fill the pool, a running batch and a prepared one.
        room = 4 * pool.workers + 2 * max_batch
        self._open_images = Places(room)
        self._open_boxes = Places(2 * room)
        self.batcher: Batcher[CfsInput, Inferred] | None = None
        if engine is not None:
            self._runs: DeviceRuns[CfsInput] = DeviceRuns(
                lambda batch, _: engine.infer(batch), engine.provider, pool
            )
            pixels = engine.input_size**2
            self.batcher = Batcher(
                self._runs.run,
                name=CFS,
                budget=Budget(max_batch),
                capacity=2 * room,
                in_flight=pool.workers if on_cpu else PREPARED_AHEAD,
                measure=lambda _: Measure(cost=pixels),
                observer=observer,
            )

    async def __aenter__(self) -> Self:
        if self._engine is not None:
            await self.pool.run(self._engine.warm_up)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.batcher is not None:
            await self.batcher.close()
            self._runs.close()

    async def pseudo_label(self, question: Question) -> Answer:
        """Makes one mask per instance.

        Cancelling the caller frees what it asked for: boxes that no worker has begun cost nothing.

        Raises:
            InvalidBoxError: A box is degenerate or lies outside the image; it names which.
            InvalidImageError: The bytes are no image, or a broken one.
            ImageTooLargeError: More bytes or pixels than the limit.
            TooManyBoxesError: More boxes than the limit.
            InvalidRequestError: The method needs a network and there is none.
            DeadlineError: The answer cannot come in time any more.
        """
        start = perf_counter()
        self._check(question)
        urgency, limit = question.urgency, self.limits.max_pixels
        async with (
            self._open_images.hold(priority=urgency.priority),
            image_room(self.pool, urgency, question.image, limit, question.what) as header_ms,
        ):
            image, decode_ms = await self.pool.run_for(
                urgency, timed, open_image, question.image, question.instances, limit, question.what
            )
            waited_ms = max(since(start) - header_ms - decode_ms, 0.0)
            boxes = await all_results(self._one_box(image, each, question) for each in question.instances)
            masks, judge_ms = await self._beside_each_other([box.mask for box in boxes], urgency)
        uses_network = self._engine is not None and question.method is Method.CFS
        return Answer(
            width=image.shape[1],
            height=image.shape[0],
            masks=masks,
            timings=Timings(
                decode_ms=header_ms + decode_ms,
                crop_ms=sum(box.crop_ms for box in boxes),
                network_ms=max((box.network_ms for box in boxes), default=0.0),
                inference_ms=sum(box.inference_ms for box in boxes),
                refine_ms=sum(box.refine_ms for box in boxes) + judge_ms,
                total_ms=since(start),
                queue_ms=waited_ms + max((box.queue_ms for box in boxes), default=0.0),
            ),
            model_digest=self._engine.digest if self._engine is not None and uses_network else "",
        )

    async def foreground(self, item: CfsInput, urgency: Urgency = AT_ONCE) -> Inferred:
        """Returns what the network says of one crop, in a batch with whatever else is asked.

        Raises:
            InvalidRequestError: There is no network.
            DeadlineError: The answer cannot come in time any more.
        """
        return await self._network().submit(item, urgency=urgency)

    def _network(self) -> Batcher[CfsInput, Inferred]:
        if self.batcher is None:
            raise InvalidRequestError("method", "'cfs' needs a network and none is loaded; use 'grabcut'")
        return self.batcher

    def _check(self, question: Question) -> None:
        if len(question.image) > self.limits.max_bytes:
            raise ImageTooLargeError("bytes", len(question.image), self.limits.max_bytes)
        if len(question.instances) > self.limits.max_boxes:
            raise TooManyBoxesError(len(question.instances), self.limits.max_boxes)
        if question.method is Method.CFS:
            self._network()

    async def _beside_each_other(
        self, masks: list[InstanceMask], urgency: Urgency
    ) -> tuple[tuple[InstanceMask, ...], float]:
        if len(masks) < 2:
            return tuple(masks), 0.0
        return await self.pool.run_for(urgency, timed, beside_each_other, masks)

    async def _one_box(self, image: NDArray[np.uint8], instance: Instance, question: Question) -> _BoxAnswer:
        start = perf_counter()
        async with self._open_boxes.hold(priority=question.urgency.priority):
            if question.method is Method.CFS and self._engine is not None:
                return await self._cfs(image, instance, question, self._engine, start)
            if question.method is Method.BOX:
                step = filled_mask
            else:
                step = partial(grabcut_mask, engine=self._grabcut)
            mask, refine_ms = await self.pool.run_for(question.urgency, timed, step, image, instance)
            return _BoxAnswer(mask, refine_ms=refine_ms, elapsed_ms=since(start))

    async def _cfs(
        self,
        image: NDArray[np.uint8],
        instance: Instance,
        question: Question,
        engine: CfsEngine,
        start: float,
    ) -> _BoxAnswer:
        urgency, refine = question.urgency, question.refine
        crop, crop_ms = await self.pool.run_for(
            urgency, timed, network_crop, image, instance.box, engine.input_size
        )
        asked = perf_counter()
        item = CfsInput(crop.pixels, crop.box_mask, engine.label(instance.class_name))
        found = await self._network().submit(item, work=crop.window.area if refine else 0.0, urgency=urgency)
        network_ms = since(asked)
        step = partial(cfs_mask, refine=refine, engine=self._grabcut)
        mask, refine_ms = await self.pool.run_for(
            urgency, timed, step, image, instance, found.values, crop.window
        )
        return _BoxAnswer(mask, crop_ms, network_ms, found.milliseconds, refine_ms, since(start))
