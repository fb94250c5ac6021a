"""A gRPC server with the Open Inference Protocol alone, in the test's own event loop."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import grpc

from boxmask.inference import open_inference_pb2_grpc as pb_grpc
from boxmask_server.operation.metrics import Metrics
from boxmask_server.operation.tracing import NoTracing
from boxmask_server.operation.watch import Watch
from boxmask_server.wire.admission import Admission
from boxmask_server.wire.inference_service import InferenceService
from boxmask_server.wire.status import reason_of
from boxmask_server.work.host_pool import HostPool
from boxmask_server.work.labeler import Limits
from boxmask_server.work.model_store import Held, ModelStore
from boxmask_server.work.pipelines import Engines, WorkOptions, open_pipelines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from typing import NoReturn

    from boxmask_core.bundle import Bundle


@dataclass(frozen=True)
class InferenceServing:
    """A server that listens.

    Attributes:
        stub: A stub that talks to it.
        admission: Its door.
        metrics: What it counts.
    """

    stub: pb_grpc.GRPCInferenceServiceAsyncStub
    admission: Admission
    metrics: Metrics


@contextlib.asynccontextmanager
async def inference_serving(
    bundles: Mapping[tuple[str, str], Engines],
    address: str,
    *,
    limits: Limits | None = None,
    queue: int = 256,
    stream_window: int = 16,
    workers: int = 2,
) -> AsyncIterator[InferenceServing]:
    """Starts a server, and stops it at the end.

    Args:
        bundles: The networks of every version of every bundle.
        address: Where it listens.
        limits: What one question may hold.
        queue: Requests inside, at most.
        stream_window: Unanswered requests of one stream.
        workers: Threads of the host pool.
    """
    async with contextlib.AsyncExitStack() as stack:
        pool = await stack.enter_async_context(HostPool(workers))
        store = ModelStore([], _load_nothing, partial(open_pipelines, pool=pool))
        for (bundle, version), engines in bundles.items():
            options = WorkOptions(limits=limits or Limits(), max_batch=4)
            pipelines = await stack.enter_async_context(open_pipelines(engines, pool, options))
            (first, *_) = engines.all()
            store.add(Held(bundle, version, first.class_names, engines, pipelines))
        admission = Admission(queue)
        metrics = Metrics(workers, reason_of)
        server = grpc.aio.server()
        pb_grpc.add_GRPCInferenceServiceServicer_to_server(
            InferenceService(
                store,
                admission,
                Watch(metrics, NoTracing()),
                lambda: not admission.closed.is_set(),
                stream_window,
            ),
            server,
        )
        server.add_insecure_port(address)
        await server.start()
        stack.push_async_callback(server.stop, 5)
        channel = await stack.enter_async_context(
            grpc.aio.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])
        )
        yield InferenceServing(pb_grpc.GRPCInferenceServiceStub(channel), admission, metrics)


def _load_nothing(bundle: Bundle) -> NoReturn:
    raise AssertionError(f"{bundle.root} is not to be loaded: the store is given what it holds")
