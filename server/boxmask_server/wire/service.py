"""The servicer of boxmask.v1: parse, await, encode, nothing else."""

from __future__ import annotations

import contextlib
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from boxmask.v1 import labeling_pb2 as pb
from boxmask.v1 import labeling_pb2_grpc as pb_grpc
from boxmask_core.bundle import LGSA
from boxmask_core.errors import InvalidRequestError, ModelNotFoundError
from boxmask_server.wire.answering import in_time, single
from boxmask_server.wire.converters import model_of, question_of, response_of, urgency_of, wanted_of
from boxmask_server.wire.segment_converters import segment_question_of, segment_response_of
from boxmask_server.wire.status import abort, to_status
from boxmask_server.wire.window import answered
from boxmask_server.work.host_steps import since
from boxmask_server.work.urgency import Priority

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
    from typing import Any

    import grpc

    from boxmask_server.operation.watch import Watch
    from boxmask_server.wire.admission import Admission
    from boxmask_server.work.labeler import Limits
    from boxmask_server.work.model_store import Held, ModelStore
    from boxmask_server.work.urgency import Urgency

    Context = grpc.aio.ServicerContext[Any, Any]

Response = TypeVar("Response", pb.PseudoLabelResponse, pb.SegmentResponse)
Item = TypeVar("Item", pb.StreamPseudoLabelRequest, pb.StreamSegmentRequest)
Reply = TypeVar("Reply", pb.StreamPseudoLabelResponse, pb.StreamSegmentResponse)


class _Inside(NamedTuple):
    held: Held
    urgency: Urgency
    arrival: float
    waited_ms: float


class LabelingService(pb_grpc.LabelingServiceServicer):
    """Answers labeling requests.

    Args:
        store: The bundles that answer.
        admission: The door.
        watch: Is told what is asked and what is done.
        limits: What one request may hold, for ListModels and GetModel.
        stream_window: Unanswered items of one stream before the next is read.
    """

    def __init__(
        self,
        store: ModelStore,
        admission: Admission,
        watch: Watch,
        limits: Limits,
        stream_window: int,
    ) -> None:
        self._store = store
        self._admission = admission
        self._watch = watch
        self._limits = limits
        self._stream_window = stream_window

    async def PseudoLabel(  # noqa: N802, D102 - named and documented in the contract
        self, request: pb.PseudoLabelRequest, context: Context
    ) -> pb.PseudoLabelResponse:
        seconds = context.time_remaining()
        work = in_time(self._label(request, seconds, wait=False), seconds)
        return await single(work, context, self._watch.request("PseudoLabel"))

    async def Segment(  # noqa: N802, D102
        self, request: pb.SegmentRequest, context: Context
    ) -> pb.SegmentResponse:
        seconds = context.time_remaining()
        work = in_time(self._segment(request, seconds, wait=False), seconds)
        return await single(work, context, self._watch.request("Segment"))

    async def StreamPseudoLabel(  # noqa: N802, D102
        self, request_iterator: AsyncIterator[pb.StreamPseudoLabelRequest], context: Context
    ) -> AsyncIterator[pb.StreamPseudoLabelResponse]:
        async def answer(item: pb.StreamPseudoLabelRequest) -> pb.StreamPseudoLabelResponse:
            with self._watch.item("StreamPseudoLabel", item.item_id):
                response = await self._label(item.request, context.time_remaining(), wait=True)
                return pb.StreamPseudoLabelResponse(response=response)

        stream = self._stream(request_iterator, answer, pb.StreamPseudoLabelResponse, context)
        async with contextlib.aclosing(stream):
            async for response in stream:
                yield response

    async def StreamSegment(  # noqa: N802, D102
        self, request_iterator: AsyncIterator[pb.StreamSegmentRequest], context: Context
    ) -> AsyncIterator[pb.StreamSegmentResponse]:
        async def answer(item: pb.StreamSegmentRequest) -> pb.StreamSegmentResponse:
            with self._watch.item("StreamSegment", item.item_id):
                response = await self._segment(item.request, context.time_remaining(), wait=True)
                return pb.StreamSegmentResponse(response=response)

        stream = self._stream(request_iterator, answer, pb.StreamSegmentResponse, context)
        async with contextlib.aclosing(stream):
            async for response in stream:
                yield response

    async def ListModels(  # noqa: N802, D102
        self,
        request: pb.ListModelsRequest,  # noqa: ARG002 - it has no fields
        context: Context,  # noqa: ARG002
    ) -> pb.ListModelsResponse:
        return pb.ListModelsResponse(
            models=[model for held in self._store.held() for model in self._models(held)]
        )

    async def GetModel(  # noqa: N802, D102
        self, request: pb.GetModelRequest, context: Context
    ) -> pb.GetModelResponse:
        try:
            async with self._store.use(request.bundle, request.version) as held:
                models = {model.name: model for model in self._models(held)}
            if request.name not in models:
                raise ModelNotFoundError(request.name, tuple(models))
        except ModelNotFoundError as error:
            await abort(context, error)
        return pb.GetModelResponse(model=models[request.name])

    async def _label(
        self, request: pb.PseudoLabelRequest, seconds: float | None, *, wait: bool
    ) -> pb.PseudoLabelResponse:
        async with self._admitted(request, seconds, wait=wait) as inside:
            held, urgency = inside.held, inside.urgency
            wanted = wanted_of(request, held.class_names)
            labeler = held.pipelines.labeler
            answer = await labeler.pseudo_label(question_of(request, urgency))
            response = await labeler.pool.run_for(urgency, response_of, answer, wanted)
        return self._finished(response, inside)

    async def _segment(
        self, request: pb.SegmentRequest, seconds: float | None, *, wait: bool
    ) -> pb.SegmentResponse:
        async with self._admitted(request, seconds, wait=wait) as inside:
            held, urgency = inside.held, inside.urgency
            segmenter = held.pipelines.segmenter
            if segmenter is None:
                raise ModelNotFoundError(LGSA, tuple(engine.network.name for engine in held.engines.all()))
            answer = await segmenter.segment(segment_question_of(request, urgency))
            response = await segmenter.pool.run_for(urgency, segment_response_of, answer)
        return self._finished(response, inside)

    @contextlib.asynccontextmanager
    async def _admitted(
        self, request: pb.PseudoLabelRequest | pb.SegmentRequest, seconds: float | None, *, wait: bool
    ) -> AsyncIterator[_Inside]:
        """Lets a request in, to the bundle that it asks for, while the block runs."""
        arrival = perf_counter()
        urgency = urgency_of(request.priority, _usual(waits=wait), seconds)
        size = len(request.image)
        async with (
            self._admission.enter(wait=wait, size=size, priority=urgency.priority),
            self._store.use(request.bundle, request.version) as held,
        ):
            yield _Inside(held, urgency, arrival, since(arrival))

    def _finished(self, response: Response, inside: _Inside) -> Response:
        """Writes who answered, and when."""
        response.bundle, response.version = inside.held.bundle, inside.held.version
        response.timings.queue_ms += inside.waited_ms
        response.timings.total_ms = since(inside.arrival)
        self._watch.worked(response.timings)
        return response

    def _models(self, held: Held) -> list[pb.Model]:
        engines = sorted(held.engines.all(), key=lambda engine: engine.network.name)
        return [model_of(held, engine, self._limits, self._stream_window) for engine in engines]

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


def _usual(*, waits: bool) -> Priority:
    """Returns the priority of a request that names none: items of streams wait, calls of their own do not."""
    return Priority.BULK if waits else Priority.INTERACTIVE


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
