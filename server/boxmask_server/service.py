"""The servicer of boxmask.v1: parse, await, encode, nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from boxmask.v1 import labeling_pb2 as pb
from boxmask.v1 import labeling_pb2_grpc as pb_grpc
from boxmask_core.errors import DeadlineError, InvalidRequestError, ModelNotFoundError
from boxmask_server.converters import question_of, response_of, wanted_of
from boxmask_server.status import abort, to_status
from boxmask_server.window import answered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from typing import Any

    import grpc

    from boxmask_server.admission import Admission
    from boxmask_server.pipeline import PseudoLabeler

    Context = grpc.aio.ServicerContext[Any, Any]


class LabelingService(pb_grpc.LabelingServiceServicer):
    """Answers labeling requests.

    Args:
        labeler: Does the work.
        models: The networks, for ListModels and GetModel; label maps start with the first one's classes.
        admission: The door.
        stream_window: Unanswered items of one stream before the next is read.
    """

    def __init__(
        self, labeler: PseudoLabeler, models: Sequence[pb.Model], admission: Admission, stream_window: int
    ) -> None:
        self._labeler = labeler
        self._models = {model.name: model for model in models}
        self._network_classes = tuple(models[0].class_names) if models else ()
        self._admission = admission
        self._stream_window = stream_window

    async def PseudoLabel(  # noqa: N802, D102 - named and documented in the contract
        self, request: pb.PseudoLabelRequest, context: Context
    ) -> pb.PseudoLabelResponse:
        try:
            return await asyncio.wait_for(self._label(request, wait=False), context.time_remaining())
        except TimeoutError:
            await abort(context, DeadlineError())
        except Exception as error:
            await abort(context, error)

    async def StreamPseudoLabel(  # noqa: N802, D102
        self, request_iterator: AsyncIterator[pb.StreamPseudoLabelRequest], context: Context
    ) -> AsyncIterator[pb.StreamPseudoLabelResponse]:
        answer_item = partial(self._answer_item, in_flight=set())
        closed = self._admission.closed
        answers = answered(request_iterator, answer_item, window=self._stream_window, closed=closed)
        try:
            async for response in answers:
                yield response
        except Exception as error:
            await abort(context, error)
        finally:
            await answers.aclose()

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
            await abort(context, ModelNotFoundError(request.name, tuple(sorted(self._models))))
        return pb.GetModelResponse(model=self._models[request.name])

    async def _label(self, request: pb.PseudoLabelRequest, *, wait: bool) -> pb.PseudoLabelResponse:
        arrival = perf_counter()
        async with self._admission.enter(wait=wait):
            wanted = wanted_of(request, self._network_classes)
            answer = await self._labeler.pseudo_label(question_of(request))
            response = await self._labeler.pool.run(response_of, answer, wanted)
        response.timings.total_ms = (perf_counter() - arrival) * 1e3
        return response

    async def _answer_item(
        self, item: pb.StreamPseudoLabelRequest, in_flight: set[str]
    ) -> pb.StreamPseudoLabelResponse:
        """Answers one item of a stream, by its result or by its error."""
        try:
            with _claimed(item.item_id, in_flight):
                response = await self._label(item.request, wait=True)
        except Exception as error:
            return pb.StreamPseudoLabelResponse(item_id=item.item_id, error=to_status(error))
        return pb.StreamPseudoLabelResponse(item_id=item.item_id, response=response)


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
