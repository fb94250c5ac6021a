"""The servicer of the Open Inference Protocol: the raw networks, for clients that know nothing of boxmask."""

from __future__ import annotations

import contextlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, TypeVar

from boxmask.inference import open_inference_pb2 as pb
from boxmask.inference import open_inference_pb2_grpc as pb_grpc
from boxmask.v1 import labeling_pb2 as v1
from boxmask_core.errors import ModelNotFoundError
from boxmask_server.networks.cfs_engine import CfsEngine
from boxmask_server.wire.answering import in_time, single
from boxmask_server.wire.inference_converters import (
    cfs_items_of,
    check_outputs,
    lgsa_items_of,
    response_of,
    size_of,
    timeout_of,
    urgency_of,
)
from boxmask_server.wire.inference_descriptions import config_of, metadata_of, signature_of
from boxmask_server.wire.inference_models import Models
from boxmask_server.wire.inference_statistics import InferenceStatistics
from boxmask_server.wire.status import abort, to_status
from boxmask_server.wire.window import answered
from boxmask_server.work.concurrency import all_results
from boxmask_server.work.host_steps import timed
from boxmask_server.work.urgency import Priority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from contextlib import AbstractContextManager
    from typing import Any

    import grpc

    from boxmask_server.networks.session import Inferred
    from boxmask_server.operation.watch import Watch
    from boxmask_server.wire.admission import Admission
    from boxmask_server.wire.inference_models import Model
    from boxmask_server.wire.inference_statistics import Work
    from boxmask_server.work.model_store import ModelStore
    from boxmask_server.work.urgency import Urgency

    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE_NAME: Final = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
EXTENSIONS: Final = ("model_configuration", "schedule_policy", "statistics")
READY: Final = "READY"
UNAVAILABLE: Final = "UNAVAILABLE"
FINAL_RESPONSE: Final = "triton_final_response"

Response = TypeVar("Response")


class InferenceService(pb_grpc.GRPCInferenceServiceServicer):
    """Answers for the raw networks.

    Args:
        store: Where bundles are held.
        admission: The door.
        watch: Is told what is asked and what is done.
        ready: Tells whether requests are taken.
        stream_window: Unanswered requests of one stream before the next is read.
    """

    def __init__(
        self,
        store: ModelStore,
        admission: Admission,
        watch: Watch,
        ready: Callable[[], bool],
        stream_window: int,
    ) -> None:
        self._models = Models(store)
        self._admission = admission
        self._watch = watch
        self._ready = ready
        self._stream_window = stream_window
        self._statistics = InferenceStatistics()

    async def ServerLive(  # noqa: N802, D102 - named and documented in the contract
        self,
        request: pb.ServerLiveRequest,  # noqa: ARG002 - it has no fields
        context: Context,  # noqa: ARG002
    ) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(  # noqa: N802, D102
        self,
        request: pb.ServerReadyRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._ready())

    async def ModelReady(  # noqa: N802, D102
        self,
        request: pb.ModelReadyRequest,
        context: Context,  # noqa: ARG002
    ) -> pb.ModelReadyResponse:
        try:
            async with self._models.use(request.name, request.version):
                return pb.ModelReadyResponse(ready=self._ready())
        except ModelNotFoundError:
            return pb.ModelReadyResponse(ready=False)

    async def ServerMetadata(  # noqa: N802, D102
        self,
        request: pb.ServerMetadataRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(name="boxmask", version=version("boxmask"), extensions=EXTENSIONS)

    async def ModelMetadata(  # noqa: N802, D102
        self, request: pb.ModelMetadataRequest, context: Context
    ) -> pb.ModelMetadataResponse:
        def describe(model: Model) -> pb.ModelMetadataResponse:
            return metadata_of(model.name, self._models.versions(model), model.engine)

        return await self._described(request.name, request.version, describe, context)

    async def ModelConfig(  # noqa: N802, D102
        self, request: pb.ModelConfigRequest, context: Context
    ) -> pb.ModelConfigResponse:
        def describe(model: Model) -> pb.ModelConfigResponse:
            limits = model.held.pipelines.labeler.limits
            return pb.ModelConfigResponse(config=config_of(model.name, model.engine, limits))

        return await self._described(request.name, request.version, describe, context)

    async def ModelStatistics(  # noqa: N802, D102
        self, request: pb.ModelStatisticsRequest, context: Context
    ) -> pb.ModelStatisticsResponse:
        models = self._models.all()
        self._statistics.forget_all_but({model.key for model in models})
        if not request.name:
            statistics = [self._statistics.of(model.key, model.name) for model in models]
            return pb.ModelStatisticsResponse(model_stats=statistics)

        def describe(asked: Model) -> pb.ModelStatisticsResponse:
            wanted = [request.version] if request.version else self._models.versions(asked)
            keys = (asked.key._replace(version=each) for each in wanted)
            statistics = [self._statistics.of(key, asked.name) for key in keys]
            return pb.ModelStatisticsResponse(model_stats=statistics)

        return await self._described(request.name, request.version, describe, context)

    async def RepositoryIndex(  # noqa: N802, D102
        self,
        request: pb.RepositoryIndexRequest,  # noqa: ARG002 - there is one repository, and all in it is ready
        context: Context,  # noqa: ARG002
    ) -> pb.RepositoryIndexResponse:
        state = READY if self._ready() else UNAVAILABLE
        reason = "" if self._ready() else "the server is shutting down"
        return pb.RepositoryIndexResponse(
            models=[
                pb.RepositoryIndexResponse.ModelIndex(
                    name=model.name, version=model.held.version, state=state, reason=reason
                )
                for model in self._models.all()
            ]
        )

    async def ModelInfer(  # noqa: N802, D102
        self, request: pb.ModelInferRequest, context: Context
    ) -> pb.ModelInferResponse:
        work = self._infer(request, context.time_remaining(), Priority.INTERACTIVE, wait=False)
        return await single(work, context, self._watch.request("ModelInfer"))

    async def ModelStreamInfer(  # noqa: N802, D102
        self, request_iterator: AsyncIterator[pb.ModelInferRequest], context: Context
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        async def answer(request: pb.ModelInferRequest) -> pb.ModelStreamInferResponse:
            work = self._infer(request, context.time_remaining(), Priority.BULK, wait=True)
            return await _stream_response(work, request.id, self._watch.item("ModelStreamInfer", request.id))

        answers = answered(
            request_iterator, answer, window=self._stream_window, closed=self._admission.closed, in_order=True
        )
        async with contextlib.aclosing(answers):
            try:
                async for response in answers:
                    yield response
            except Exception as error:
                await abort(context, error)

    async def _described(
        self, name: str, version: str, describe: Callable[[Model], Response], context: Context
    ) -> Response:
        try:
            async with self._models.use(name, version) as model:
                return describe(model)
        except Exception as error:
            await abort(context, error)

    async def _infer(
        self, request: pb.ModelInferRequest, seconds: float | None, otherwise: Priority, *, wait: bool
    ) -> pb.ModelInferResponse:
        """Answers one request.

        Args:
            request: The request.
            seconds: The time that the call has left.
            otherwise: The priority of a request that says none.
            wait: Whether to wait for a place, or to be refused where there is none.
        """
        async with self._models.use(request.model_name, request.model_version) as model:
            with self._statistics.request(model.key) as work:
                seconds = timeout_of(request, seconds)
                urgency = urgency_of(request, seconds, otherwise)
                response = await in_time(self._admitted(request, model, urgency, work, wait=wait), seconds)
        self._watch.worked(_timings(work))
        return response

    async def _admitted(
        self, request: pb.ModelInferRequest, model: Model, urgency: Urgency, work: Work, *, wait: bool
    ) -> pb.ModelInferResponse:
        output = signature_of(model.engine).output
        check_outputs(request, output)
        async with self._admission.enter(wait=wait, size=size_of(request), priority=urgency.priority):
            found = await _run(request, model, urgency, work)
            work.items = len(found)
            work.infer_ms = sum(each.milliseconds for each in found)
            values = [each.values for each in found]
            pool = model.held.pipelines.labeler.pool
            response, work.output_ms = await pool.run_for(
                urgency, timed, response_of, request, model.held.version, output, values
            )
        return response


async def _run(request: pb.ModelInferRequest, model: Model, urgency: Urgency, work: Work) -> list[Inferred]:
    """Runs the network on every item of a request, side by side and beside those of other requests."""
    labeler, segmenter = model.held.pipelines.labeler, model.held.pipelines.segmenter
    engine, limits = model.engine, labeler.limits
    if isinstance(engine, CfsEngine):
        crops, work.input_ms = await labeler.pool.run_for(
            urgency, timed, cfs_items_of, request, engine, limits
        )
        return await all_results(labeler.foreground(crop, urgency) for crop in crops)
    if segmenter is None:  # a network that is held has its pipeline
        raise RuntimeError(f"network {engine.network.name!r} has no pipeline")
    pictures, work.input_ms = await labeler.pool.run_for(
        urgency, timed, lgsa_items_of, request, engine, limits
    )
    return await all_results(segmenter.scores(picture, urgency) for picture in pictures)


def _timings(work: Work) -> v1.Timings:
    """Writes where the time went, as the metrics take it: reading tensors is decoding."""
    return v1.Timings(
        decode_ms=work.input_ms,
        inference_ms=work.infer_ms,
        encode_ms=work.output_ms,
        queue_ms=work.queue_ms,
        total_ms=work.total_ms,
    )


async def _stream_response(
    work: Coroutine[Any, Any, pb.ModelInferResponse], request_id: str, counted: AbstractContextManager[None]
) -> pb.ModelStreamInferResponse:
    """Answers one request of a stream, by its result or by its error."""
    try:
        with counted:
            response = await work
    except Exception as error:
        failed = pb.ModelInferResponse(id=request_id)
        return pb.ModelStreamInferResponse(error_message=to_status(error).message, infer_response=failed)
    response.parameters[FINAL_RESPONSE].bool_param = True
    return pb.ModelStreamInferResponse(infer_response=response)
