"""Answers in this process: the server's pipeline without the server."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from boxmask_client import Answer, Timings
from boxmask_core.bundle import Bundle, starter_path
from boxmask_core.errors import MissingExtraError
from boxmask_core.instances import InstanceMask

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from concurrent.futures import Future
    from types import TracebackType

    from boxmask_client import Question
    from boxmask_convert.settings import Settings
    from boxmask_server import pipeline
    from boxmask_server.pipeline import PseudoLabeler


class LocalLabeler:
    """Runs the pipeline in an event loop of its own thread.

    Args:
        pipeline: The pipeline, not entered yet.
        description: See `Labeler.description`.
    """

    def __init__(self, pipeline: PseudoLabeler, description: str) -> None:
        self.description = description
        self._pipeline = pipeline
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="pipeline", daemon=True)

    def submit(self, question: Question) -> Future[Answer]:
        """See `Labeler.submit`."""
        return asyncio.run_coroutine_threadsafe(self._answer(question), self._loop)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._run(self._pipeline.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._drop_and_close())
        self._stop()

    def _run(self, work: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _answer(self, question: Question) -> Answer:
        return _answer(await self._pipeline.pseudo_label(_question(question)))

    async def _drop_and_close(self) -> None:
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._pipeline.__aexit__(None, None, None)


def open_local_labeler(settings: Settings) -> LocalLabeler:
    """Returns the labeler of an in-process run, with the network only where the method asks for it.

    Raises:
        BundleError: The bundle is missing or damaged.
        DeviceError: The device is not to be had.
        MissingExtraError: The networks' runtime is not installed.
    """
    try:
        from boxmask_server.engine import CfsEngine
        from boxmask_server.host_pool import available_cores
        from boxmask_server.pipeline import PseudoLabeler
    except ModuleNotFoundError as error:
        raise MissingExtraError("boxmask convert without --server", str(error.name), "local") from error
    workers = settings.workers or available_cores()
    if settings.method != "cfs":
        return LocalLabeler(PseudoLabeler(None, workers=workers), f"this process, {workers} workers")
    bundle = Bundle.load(settings.bundle or starter_path())
    engine = CfsEngine(bundle, device=settings.device, threads=workers)
    description = f"this process, {workers} workers, {engine.provider}, bundle {bundle.root}"
    return LocalLabeler(PseudoLabeler(engine, workers=workers), description)


def _question(question: Question) -> pipeline.Question:
    from boxmask_server import pipeline

    return pipeline.Question(
        image=question.encoded_image(),
        instances=tuple(question.instances),
        method=pipeline.Method(question.method),
        refine=question.refine,
    )


def _answer(answer: pipeline.Answer) -> Answer:
    timings = answer.timings
    return Answer(
        width=answer.width,
        height=answer.height,
        masks=tuple(_as_on_the_wire(mask) for mask in answer.masks),
        label_map=None,
        class_names=(),
        timings=Timings(
            decode_ms=timings.decode_ms,
            crop_ms=timings.crop_ms,
            network_ms=timings.network_ms,
            refine_ms=timings.refine_ms,
            encode_ms=0.0,
            total_ms=timings.total_ms,
        ),
        model_digest=answer.model_digest,
    )


def _as_on_the_wire(mask: InstanceMask) -> InstanceMask:
    # The wire carries quality as float32; the same rounding here makes both ways write the same bytes.
    return InstanceMask(mask.instance, mask.proposal, float(np.float32(mask.quality)))
