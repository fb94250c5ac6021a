"""A real server for tests, in the test's own event loop, and a stub that talks to it."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import grpc

from boxmask.v1 import labeling_pb2 as pb
from boxmask.v1 import labeling_pb2_grpc as pb_grpc
from boxmask_core.engines import HostEngines
from boxmask_server.server import Server, Settings
from boxmask_server.work.host_pool import HostPool
from boxmask_server.work.labeler import Limits
from boxmask_server.work.model_store import Held, ModelStore
from boxmask_server.work.pipelines import Engines, Pipelines, WorkOptions, open_engines, open_pipelines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from boxmask_core.instances import Instance
    from boxmask_server.networks.cfs_engine import CfsEngine
    from boxmask_server.networks.segmentation_engine import SegmentationEngine


Item = TypeVar("Item")
Response = TypeVar("Response", pb.PseudoLabelResponse, pb.SegmentResponse)


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
    engine: CfsEngine | None,
    settings: Settings,
    *,
    segmentation: SegmentationEngine | None = None,
    limits: Limits | None = None,
    workers: int = 2,
    host: HostEngines | None = None,
    trusted: bytes | None = None,
) -> AsyncIterator[Serving]:
    """Starts a server, and drains it at the end.

    Args:
        engine: The network that makes masks of boxes.
        segmentation: The network that segments images.
        settings: How to listen.
        limits: What one question may hold.
        workers: Threads of the host pool.
        host: Who computes GrabCut and the CRF.
        trusted: Certificate to trust, where the server speaks TLS.
    """
    engines = Engines(engine, segmentation)
    limits = limits or Limits()
    options = WorkOptions(limits, max_batch=4, host=host or HostEngines())
    settings = dataclasses.replace(settings, limits=limits, workers=workers)
    async with HostPool(workers) as pool, open_pipelines(engines, pool, options) as pipelines:
        store = ModelStore((), partial(open_engines, device="cpu", threads=1), _not_opened)
        classes = next((each.class_names for each in engines.all()), ())
        store.add(Held("tiny", "1", classes, engines, pipelines))
        server = Server(store, settings)
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


async def stream_of(items: Iterable[Item]) -> AsyncIterator[Item]:
    """Yields the items of a stream."""
    for item in items:
        yield item


def content_of(response: Response) -> bytes:
    """Returns all that a response says, but for the timings."""
    copy = type(response)()
    copy.CopyFrom(response)
    copy.ClearField("timings")
    return copy.SerializeToString(deterministic=True)


def _not_opened(engines: Engines) -> contextlib.AbstractAsyncContextManager[Pipelines]:
    raise AssertionError(f"{engines} were to be loaded: this store holds what is open already")


def _channel(address: str, trusted: bytes | None) -> grpc.aio.Channel:
    if trusted is None:
        return grpc.aio.insecure_channel(address)
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(trusted))
