"""A real server for tests, in the test's own event loop, and a stub that talks to it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from boxmask.v1 import labeling_pb2 as pb
from boxmask.v1 import labeling_pb2_grpc as pb_grpc
from boxmask_server.converters import model_of
from boxmask_server.pipeline import Limits, PseudoLabeler
from boxmask_server.server import Server, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from boxmask_core.instances import Instance
    from boxmask_server.engine import CfsEngine


@dataclass(frozen=True)
class Serving:
    """A server that listens.

    Attributes:
        server: The server.
        address: Where it listens.
        channel: A channel to it.
        stub: A stub on that channel.
    """

    server: Server
    address: str
    channel: grpc.aio.Channel
    stub: pb_grpc.LabelingServiceAsyncStub


@contextlib.asynccontextmanager
async def serving(
    engine: CfsEngine,
    settings: Settings,
    *,
    limits: Limits | None = None,
    workers: int = 2,
    trusted: bytes | None = None,
) -> AsyncIterator[Serving]:
    """Starts a server, and drains it at the end.

    Args:
        engine: The network.
        settings: How to listen.
        limits: What one question may hold.
        workers: Threads of the host pool.
        trusted: Certificate to trust, where the server speaks TLS.
    """
    async with PseudoLabeler(engine, limits=limits, workers=workers, max_batch=4) as labeler:
        models = [model_of(engine, labeler.limits, settings.stream_window)]
        server = Server(labeler, models, settings)
        address = await server.start()
        async with _channel(address, trusted) as channel:
            yield Serving(server, address, channel, pb_grpc.LabelingServiceStub(channel))
            await server.drain(5)


def request_of(
    image: bytes, *instances: Instance, method: pb.Method.ValueType = pb.METHOD_CFS
) -> pb.PseudoLabelRequest:
    """Writes a question."""
    return pb.PseudoLabelRequest(
        image=image,
        method=method,
        instances=[
            pb.Instance(
                id=instance.id,
                class_name=instance.class_name,
                box=pb.BoundingBox(
                    x0=instance.box.x0, y0=instance.box.y0, x1=instance.box.x1, y1=instance.box.y1
                ),
            )
            for instance in instances
        ],
    )


def _channel(address: str, trusted: bytes | None) -> grpc.aio.Channel:
    if trusted is None:
        return grpc.aio.insecure_channel(address)
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(trusted))
