"""Wires the service into a gRPC server: address, limits, health, reflection, drain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from boxmask.v1 import labeling_pb2 as pb
from boxmask.v1 import labeling_pb2_grpc as pb_grpc
from boxmask_core.errors import ListenError
from boxmask_server.operation.metrics import Metrics
from boxmask_server.wire.admission import Admission
from boxmask_server.wire.service import LabelingService
from boxmask_server.wire.status import reason_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxmask_server.work.pipelines import Pipelines

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["LabelingService"].full_name
MESSAGE_SLACK = 4 * 1024 * 1024
"""Bytes of a message beside its image: boxes, class names, framing."""
LAST_WRITES = 1.0
"""Seconds that answers which are ready have to leave, after the grace."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """How the server listens and what it holds.

    Attributes:
        listen: ``HOST:PORT`` (port 0: any free one) or ``unix:PATH``.
        queue: Requests that are worked on or wait, at most.
        stream_window: Unanswered items of one stream before the next is read.
        credentials: TLS certificate and key, or None for plain text.
    """

    listen: str
    queue: int = 256
    stream_window: int = 16
    credentials: grpc.ServerCredentials | None = None


class Server:
    """The gRPC server.

    Args:
        pipelines: Do the work; the server neither opens nor closes them.
        models: The networks that it runs.
        settings: How to listen.

    Attributes:
        metrics: What it counts.
    """

    def __init__(self, pipelines: Pipelines, models: Sequence[pb.Model], settings: Settings) -> None:
        self._settings = settings
        self._admission = Admission(settings.queue)
        self._health = health.aio.HealthServicer()
        self._grpc = grpc.aio.server(options=_options(pipelines.labeler.limits.max_bytes))
        self.metrics = Metrics(pipelines.labeler.pool.workers, lambda: self._admission.unanswered, reason_of)
        service = LabelingService(pipelines, models, self._admission, self.metrics, settings.stream_window)
        pb_grpc.add_LabelingServiceServicer_to_server(service, self._grpc)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        reflection.enable_server_reflection(
            (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME), self._grpc
        )

    async def start(self) -> str:
        """Listens, says SERVING, and returns the address, with the port that was really taken.

        Raises:
            ListenError: The address is malformed or taken.
        """
        address = self._bind()
        await self._grpc.start()
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)
        await self._health.set(SERVICE_NAME, health_pb2.HealthCheckResponse.SERVING)
        return address

    async def drain(self, grace: float) -> None:
        """Stops without losing an answer.

        Health says NOT_SERVING; new calls are refused with UNAVAILABLE and reason DRAINING; calls that are
        being worked on are answered, as far as the grace reaches; then the server stops.

        Args:
            grace: Seconds.
        """
        await self._health.enter_graceful_shutdown()
        self._admission.close()
        with contextlib.suppress(TimeoutError):  # whoever is not answered by then is cancelled by the stop
            await asyncio.wait_for(self._admission.idle(), grace)
        await self._grpc.stop(LAST_WRITES)

    def _bind(self) -> str:
        listen, credentials = self._settings.listen, self._settings.credentials
        try:
            if credentials is None:
                port = self._grpc.add_insecure_port(listen)
            else:
                port = self._grpc.add_secure_port(listen, credentials)
        except RuntimeError as error:
            raise ListenError(listen, f"{error}; is it taken? Use HOST:PORT or unix:PATH") from error
        if listen.startswith("unix:"):
            return listen
        return f"{listen.rpartition(':')[0]}:{port}"


def _options(max_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", max_bytes + MESSAGE_SLACK),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),  # a second server on the same port must fail, not share its calls
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
