"""Answers in this process. The one place that reaches the server's parts, when they are asked for."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import numpy as np

from boxmask_client import Answer, Timings
from boxmask_client.segment_messages import to_segment_request, to_segmentation
from boxmask_convert.labelers.pipeline_thread import PipelineThread
from boxmask_core.bundle import Bundle, starter_path
from boxmask_core.errors import MissingExtraError
from boxmask_core.instances import InstanceMask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from typing import Any

    from boxmask_client import Question, Segmentation, SegmentQuestion
    from boxmask_convert.settings import SegmentSettings, Settings
    from boxmask_server.networks.cfs_engine import CfsEngine
    from boxmask_server.networks.segmentation_engine import SegmentationEngine
    from boxmask_server.work import labeler


def open_local_labeler(settings: Settings) -> PipelineThread[Question, Answer]:
    """Returns the labeler of an in-process run, with the network only where the method asks for it.

    Raises:
        BundleError: The bundle is missing or damaged, or does not hold the network.
        DeviceError: The device is not to be had.
        MissingExtraError: The networks' runtime is not installed.
    """
    with _asking_for_the_server("boxmask convert"):
        from boxmask_server.networks.cfs_engine import CfsEngine
        from boxmask_server.networks.cores import CFS_THREADS, available_cores
    workers = settings.workers or available_cores()
    if settings.method != "cfs":
        return PipelineThread(_labeling(None, workers, settings), f"this process, {workers} workers")
    bundle = Bundle.load(settings.bundle or starter_path())
    engine = CfsEngine(bundle, device=settings.device, threads=CFS_THREADS)
    return PipelineThread(_labeling(engine, workers, settings), _description(engine, workers, bundle))


def open_local_segmenter(settings: SegmentSettings) -> PipelineThread[SegmentQuestion, Segmentation]:
    """Returns the segmenter of an in-process run.

    Raises:
        BundleError: The bundle is missing or damaged, or does not hold the network.
        DeviceError: The device is not to be had.
        MissingExtraError: The networks' runtime is not installed.
    """
    with _asking_for_the_server("boxmask segment"):
        from boxmask_server.networks.cores import available_cores
        from boxmask_server.networks.segmentation_engine import SegmentationEngine
    workers = settings.workers or available_cores()
    bundle = Bundle.load(settings.bundle or starter_path())
    engine = SegmentationEngine(bundle, device=settings.device, threads=workers)
    return PipelineThread(_segmenting(engine, workers, settings), _description(engine, workers, bundle))


@contextmanager
def _asking_for_the_server(command: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{command} without --server", str(error.name), "local") from error


def _description(engine: CfsEngine | SegmentationEngine, workers: int, bundle: Bundle) -> str:
    return f"this process, {workers} workers, {engine.provider}, bundle {bundle.root}"


@asynccontextmanager
async def _labeling(
    engine: CfsEngine | None, workers: int, settings: Settings
) -> AsyncIterator[Callable[[Question], Coroutine[Any, Any, Answer]]]:
    from boxmask_server.work.host_pool import HostPool
    from boxmask_server.work.labeler import PseudoLabeler

    async with (
        HostPool(workers) as pool,
        PseudoLabeler(engine, pool, grabcut=settings.grabcut_engine) as labeler,
    ):

        async def answer(question: Question) -> Answer:
            return _answer(await labeler.pseudo_label(_question(question)))

        yield answer


@asynccontextmanager
async def _segmenting(
    engine: SegmentationEngine, workers: int, settings: SegmentSettings
) -> AsyncIterator[Callable[[SegmentQuestion], Coroutine[Any, Any, Segmentation]]]:
    from boxmask_server.wire.segment_converters import segment_question_of, segment_response_of
    from boxmask_server.work.host_pool import HostPool
    from boxmask_server.work.segmenter import Segmenter

    async with HostPool(workers) as pool, Segmenter(engine, pool, crf=settings.crf_engine) as segmenter:

        async def answer(question: SegmentQuestion) -> Segmentation:
            # By way of the messages: what a server would answer cannot differ.
            found = await segmenter.segment(segment_question_of(to_segment_request(question)))
            return to_segmentation(await pool.run(segment_response_of, found))

        yield answer


def _question(question: Question) -> labeler.Question:
    from boxmask_server.work import labeler

    return labeler.Question(
        image=question.encoded_image(),
        instances=tuple(question.instances),
        method=labeler.Method(question.method),
        refine=question.refine,
    )


def _answer(answer: labeler.Answer) -> Answer:
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
            inference_ms=timings.inference_ms,
            refine_ms=timings.refine_ms,
            encode_ms=0.0,
            total_ms=timings.total_ms,
        ),
        model_digest=answer.model_digest,
    )


def _as_on_the_wire(mask: InstanceMask) -> InstanceMask:
    # The wire carries quality as float32; the same rounding here makes both ways write the same bytes.
    # The signals travel as doubles and need none.
    return InstanceMask(mask.instance, mask.proposal, float(np.float32(mask.quality)), mask.signals)
