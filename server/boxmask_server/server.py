"""Wires the services into a gRPC server: address, limits, callers, health, reflection, drain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from boxmask.inference import open_inference_pb2_grpc
from boxmask.v1 import admin_pb2, admin_pb2_grpc, labeling_pb2, labeling_pb2_grpc
from boxmask_core.errors import ListenError
from boxmask_server.operation.allowances import Allowances
from boxmask_server.operation.liveness import Liveness
from boxmask_server.operation.loop_lag import LoopLag
from boxmask_server.operation.metrics import Metrics, Model
from boxmask_server.operation.reloading import Reloading
from boxmask_server.operation.tracing import NoTracing
from boxmask_server.operation.watch import Watch
from boxmask_server.wire.admin_service import AdminService
from boxmask_server.wire.admission import QUEUE_BYTES, Admission
from boxmask_server.wire.calls import Calls
from boxmask_server.wire.converters import MESSAGE_SLACK
from boxmask_server.wire.inference_service import SERVICE_NAME as INFERENCE_NAME
from boxmask_server.wire.inference_service import InferenceService
from boxmask_server.wire.service import LabelingService
from boxmask_server.wire.status import reason_of
from boxmask_server.work.labeler import Limits
from boxmask_server.work.urgency import Priority

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boxmask_server.operation.certificates import Certificates
    from boxmask_server.operation.tokens import Tokens
    from boxmask_server.operation.tracing import Tracing
    from boxmask_server.work.batcher import Batcher
    from boxmask_server.work.host_pool import HostPool
    from boxmask_server.work.model_store import ModelStore

SERVICE_NAME = labeling_pb2.DESCRIPTOR.services_by_name["LabelingService"].full_name
ADMIN_NAME = admin_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name
LAST_WRITES = 5.0
"""Seconds that answers which are ready have to leave, after the grace."""
LAST_CALLS = 1.0
"""Seconds that calls which are no requests, such as those that watch health, are left open after that."""
UNCOUNTED_CALLS = 256
"""Calls beyond those that are counted: probes, and calls that are being refused with their reason."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """How the server listens and what it holds.

    Attributes:
        listen: ``HOST:PORT`` (port 0: any free one) or ``unix:PATH``.
        queue: Requests that are worked on or wait, at most.
        stream_window: Unanswered items of one stream before the next is read.
        certificates: What TLS is spoken with; None speaks plain text.
        tokens: Who may call; None lets everybody.
        queue_bytes: Bytes of encoded images that the requests inside hold, at most.
        concurrent_calls: Calls at once, at most.
        limits: What one request may hold.
        workers: Threads of the host pool.
        admin: Whether what only an operator may ask is answered.
        connection_age: Seconds after which a connection is asked to come anew; None never asks.
        stall_seconds: Seconds that one piece of work may take before health says NOT_SERVING.
        shares_port: Whether other processes of this server listen at the same port.
    """

    listen: str
    queue: int = 256
    stream_window: int = 16
    certificates: Certificates | None = None
    tokens: Tokens | None = None
    queue_bytes: int = QUEUE_BYTES
    concurrent_calls: int = 2048
    limits: Limits = field(default_factory=Limits)
    workers: int = 1
    admin: bool = False
    connection_age: float | None = None
    stall_seconds: float = 120.0
    shares_port: bool = False


class Server:
    """The gRPC server.

    Args:
        store: The bundles that answer; the server neither opens nor closes them.
        settings: How to listen.
        metrics: What it counts with, if not with its own.
        tracing: What it follows calls by.

    Attributes:
        metrics: What it counts with.
        admission: The door.
        reloading: Reads again what was read at the start.
    """

    def __init__(
        self,
        store: ModelStore,
        settings: Settings,
        metrics: Metrics | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._started = False
        self._open = AsyncExitStack()
        self.admission = Admission(settings.queue, settings.queue_bytes)
        self.metrics = metrics or Metrics(settings.workers, reason_of)
        self.reloading = Reloading(store, settings.tokens, settings.certificates, self.metrics)
        self._tracing = tracing or NoTracing()
        self._allowances = Allowances(settings.concurrent_calls)
        self._health = health.aio.HealthServicer()
        self._liveness = Liveness(
            self._health, (SERVICE_NAME, INFERENCE_NAME), self._stalled_for, settings.stall_seconds
        )
        self._calls = Calls(settings.tokens, self._allowances, self.metrics, self._tracing)
        self._grpc = grpc.aio.server(
            options=_options(settings),
            interceptors=[self._calls],
            maximum_concurrent_rpcs=settings.concurrent_calls + UNCOUNTED_CALLS,
        )
        self._add_services()
        self._show_gauges()

    def _add_services(self) -> None:
        store, settings, door = self._store, self._settings, self.admission
        watch = Watch(self.metrics, self._tracing)
        service = LabelingService(store, door, watch, settings.limits, settings.stream_window)
        labeling_pb2_grpc.add_LabelingServiceServicer_to_server(service, self._grpc)
        raw = InferenceService(store, door, watch, self._takes_requests, settings.stream_window)
        open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(raw, self._grpc)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        names = [SERVICE_NAME, INFERENCE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME]
        if settings.admin:
            admin = AdminService(self.reloading.models)
            admin_pb2_grpc.add_AdminServiceServicer_to_server(admin, self._grpc)
            names.append(ADMIN_NAME)
        reflection.enable_server_reflection(names, self._grpc)

    def _show_gauges(self) -> None:
        waiting = {priority.value: partial(self._waiting, priority) for priority in Priority}
        self.metrics.inside(lambda: self.admission.unanswered)
        self.metrics.queues(waiting, lambda: self.admission.bytes_inside)
        self.metrics.calls(lambda: self._allowances.calls)
        self.metrics.models(self._models)

    async def start(self) -> str:
        """Listens, says SERVING, and returns the address, with the port that was really taken.

        Raises:
            ListenError: The address is malformed or taken.
        """
        address = self._bind()
        await self._grpc.start()
        await self._open.enter_async_context(self._liveness.open())
        lag = LoopLag(self.metrics.lagged, self._settings.stall_seconds)
        await self._open.enter_async_context(lag.open())
        await self._liveness.announce()
        self._started = True
        return address

    async def drain(self, grace: float) -> None:
        """Stops without losing an answer.

        Health says NOT_SERVING; new calls are refused with UNAVAILABLE and reason DRAINING; calls that are
        being worked on are answered, as far as the grace reaches; then the server stops.

        Args:
            grace: Seconds.
        """
        await self._health.enter_graceful_shutdown()
        self.admission.close()
        with contextlib.suppress(TimeoutError):  # whoever is not answered by then is cancelled by the stop
            await asyncio.wait_for(self.admission.idle(), grace)
            await asyncio.wait_for(self._calls.written(), LAST_WRITES)
        await self._grpc.stop(LAST_CALLS)
        await self._open.aclose()

    def _takes_requests(self) -> bool:
        return self._started and not self.admission.closed.is_set()

    def _waiting(self, priority: Priority) -> int:
        return self.admission.waiting(priority) + sum(each.waiting(priority) for each in self._workers())

    def _stalled_for(self) -> float:
        return max((each.stalled_for() for each in self._workers()), default=0.0)

    def _workers(self) -> set[HostPool | Batcher[Any, Any]]:
        """Returns whoever has work that waits or runs; bundles share their pool."""
        pipelines = [held.pipelines for held in self._store.held()]
        pools = {each.labeler.pool for each in pipelines}
        return pools | {batcher for each in pipelines for batcher in each.batchers()}

    def _models(self) -> Iterator[Model]:
        for held in self._store.held():
            for engine in held.engines.all():
                yield Model(held.bundle, held.version, engine.network.name, engine.provider, engine.digest)

    def _bind(self) -> str:
        listen, certificates = self._settings.listen, self._settings.certificates
        try:
            if certificates is None:
                port = self._grpc.add_insecure_port(listen)
            else:
                port = self._grpc.add_secure_port(listen, certificates.credentials())
        except RuntimeError as error:
            raise ListenError(listen, f"{error}; is it taken? Use HOST:PORT or unix:PATH") from error
        if listen.startswith("unix:"):
            return listen
        return f"{listen.rpartition(':')[0]}:{port}"


def _options(settings: Settings) -> list[tuple[str, int]]:
    options = [
        ("grpc.max_receive_message_length", settings.limits.max_bytes + MESSAGE_SLACK),
        ("grpc.max_send_message_length", -1),
        # A second server on the same port must fail, not share its calls.
        ("grpc.so_reuseport", int(settings.shares_port)),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
    if settings.connection_age is not None:
        options.append(("grpc.max_connection_age_ms", round(settings.connection_age * 1e3)))
    return options
