"""The servicer of boxmask.v1: parse, await, encode, nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from boxmask.v1 import labeling_pb2 as pb
from boxmask.v1 import labeling_pb2_grpc as pb_grpc
from boxmask_core.bundle import LGSA
from boxmask_core.errors import DeadlineError, InvalidRequestError, ModelNotFoundError
from boxmask_server.wire.converters import question_of, response_of, wanted_of
from boxmask_server.wire.segment_converters import segment_question_of, segment_response_of
from boxmask_server.wire.status import abort, to_status
from boxmask_server.wire.window import answered
from boxmask_server.work.host_steps import since

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    import grpc

    from boxmask_server.operation.metrics import Metrics
    from boxmask_server.wire.admission import Admission
    from boxmask_server.work.pipelines import Pipelines

    Context = grpc.aio.ServicerContext[Any, Any]

Response = TypeVar("Response")
Item = TypeVar("Item", pb.StreamPseudoLabelRequest, pb.StreamSegmentRequest)
Reply = TypeVar("Reply", pb.StreamPseudoLabelResponse, pb.StreamSegmentResponse)


class LabelingService(pb_grpc.LabelingServiceServicer):
    """Answers labeling requests.

    Args:
        pipelines: Do the work.
        models: The networks, for ListModels and GetModel; label maps start with the first one's classes.
        admission: The door.
        metrics: Counts what is asked and what is done.
        stream_window: Unanswered items of one stream before the next is read.
    """

    def __init__(
        self,
        pipelines: Pipelines,
        models: Sequence[pb.Model],
        admission: Admission,
        metrics: Metrics,
        stream_window: int,
    ) -> None:
        self._labeler = pipelines.labeler
        self._segmenter = pipelines.segmenter
        self._models = {model.name: model for model in models}
        self._network_classes = tuple(models[0].class_names) if models else ()
        self._admission = admission
        self._metrics = metrics
        self._stream_window = stream_window

    async def PseudoLabel(  # noqa: N802, D102 - named and documented in the contract
        self, request: pb.PseudoLabelRequest, context: Context
    ) -> pb.PseudoLabelResponse:
        counted = self._metrics.counted("PseudoLabel")
        return await _single(self._label(request, wait=False), context, counted)

    async def Segment(  # noqa: N802, D102
        self, request: pb.SegmentRequest, context: Context
    ) -> pb.SegmentResponse:
        return await _single(self._segment(request, wait=False), context, self._metrics.counted("Segment"))

    async def StreamPseudoLabel(  # noqa: N802, D102
        self, request_iterator: AsyncIterator[pb.StreamPseudoLabelRequest], context: Context
    ) -> AsyncIterator[pb.StreamPseudoLabelResponse]:
        async def answer(item: pb.StreamPseudoLabelRequest) -> pb.StreamPseudoLabelResponse:
            with self._metrics.counted("StreamPseudoLabel"):
                return pb.StreamPseudoLabelResponse(response=await self._label(item.request, wait=True))

        stream = self._stream(request_iterator, answer, pb.StreamPseudoLabelResponse, context)
        async with contextlib.aclosing(stream):
            async for response in stream:
                yield response

    async def StreamSegment(  # noqa: N802, D102
        self, request_iterator: AsyncIterator[pb.StreamSegmentRequest], context: Context
    ) -> AsyncIterator[pb.StreamSegmentResponse]:
        async def answer(item: pb.StreamSegmentRequest) -> pb.StreamSegmentResponse:
            with self._metrics.counted("StreamSegment"):
                return pb.StreamSegmentResponse(response=await self._segment(item.request, wait=True))

        stream = self._stream(request_iterator, answer, pb.StreamSegmentResponse, context)
        async with contextlib.aclosing(stream):
            async for response in stream:
                yield response

    async def ListModels(  # noqa: N802, D102
        self,
        request: pb.ListModelsRequest,  # noqa: ARG002 - it has no fields
        context: Context,  # noqa: ARG002
    ) -> pb.ListModelsResponse:
        return pb.ListModelsResponse(models=[self._models[name] for name in sorted(self._models)])

    async def GetModel(  # noqa: N802, D102
        self, request: pb.GetModelRequest, context: Context
    ) -> pb.GetModelResponse:
        if request.name not in self._models:
            await abort(context, self._not_found(request.name))
        return pb.GetModelResponse(model=self._models[request.name])

    async def _label(self, request: pb.PseudoLabelRequest, *, wait: bool) -> pb.PseudoLabelResponse:
        arrival = perf_counter()
        async with self._admission.enter(wait=wait):
            wanted = wanted_of(request, self._network_classes)
            answer = await self._labeler.pseudo_label(question_of(request))
            response = await self._labeler.pool.run(response_of, answer, wanted)
        response.timings.total_ms = since(arrival)
        self._metrics.worked(response.timings)
        return response

    async def _segment(self, request: pb.SegmentRequest, *, wait: bool) -> pb.SegmentResponse:
        arrival = perf_counter()
        if self._segmenter is None:
            raise self._not_found(LGSA)
        async with self._admission.enter(wait=wait):
            answer = await self._segmenter.segment(segment_question_of(request))
            response = await self._segmenter.pool.run(segment_response_of, answer)
        response.timings.total_ms = since(arrival)
        self._metrics.worked(response.timings)
        return response

    async def _stream(
        self,
        items: AsyncIterator[Item],
        answer: Callable[[Item], Coroutine[Any, Any, Reply]],
        reply: type[Reply],
        context: Context,
    ) -> AsyncGenerator[Reply, None]:
        """Answers a stream of items; closing it cancels what is in flight."""
        answer_item = partial(_answer_item, answer, reply, set())
        closed = self._admission.closed
        answers = answered(items, answer_item, window=self._stream_window, closed=closed)
        try:
            async for response in answers:
                yield response
        except Exception as error:
            await abort(context, error)
        finally:
            await answers.aclose()

    def _not_found(self, name: str) -> ModelNotFoundError:
        return ModelNotFoundError(name, tuple(sorted(self._models)))


async def _single(
    work: Coroutine[Any, Any, Response], context: Context, counted: AbstractContextManager[None]
) -> Response:
    """Answers one call, by its result or by its error."""
    try:
        with counted:
            return await _in_time(work, context.time_remaining())
    except Exception as error:
        await abort(context, error)


async def _in_time(work: Coroutine[Any, Any, Response], seconds: float | None) -> Response:
    try:
        return await asyncio.wait_for(work, seconds)
    except TimeoutError:
        raise DeadlineError from None


async def _answer_item(
    answer: Callable[[Item], Coroutine[Any, Any, Reply]], reply: type[Reply], in_flight: set[str], item: Item
) -> Reply:
    """Answers one item of a stream, by its result or by its error."""
    try:
        with _claimed(item.item_id, in_flight):
            response = await answer(item)
    except Exception as error:
        response = reply(error=to_status(error))
    response.item_id = item.item_id
    return response


@contextlib.contextmanager
def _claimed(item_id: str, in_flight: set[str]) -> Iterator[None]:
    """Holds an item id of one stream while the block runs: two answers of one id could not be told apart."""
    if not item_id:
        raise InvalidRequestError("item_id", "it must not be empty")
    if item_id in in_flight:
        raise InvalidRequestError("item_id", "an item of this id is not answered yet; give each its own id")
    in_flight.add(item_id)
    try:
        yield
    finally:
        in_flight.discard(item_id)
