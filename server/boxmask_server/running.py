"""One server: its parts put together as the settings say, and what it does on signals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

from boxmask_core.bundle import starter_path
from boxmask_core.engines import HostEngines
from boxmask_core.warm_up import warm_up
from boxmask_server import server
from boxmask_server.networks.cuda import CudaOptions
from boxmask_server.operation.certificates import Certificates
from boxmask_server.operation.metrics import Metrics
from boxmask_server.operation.settings import BundleSource
from boxmask_server.operation.tokens import Tokens
from boxmask_server.operation.tracing import open_tracing
from boxmask_server.supervise import LISTENING
from boxmask_server.wire.status import reason_of
from boxmask_server.work.host_pool import HostPool
from boxmask_server.work.labeler import Limits
from boxmask_server.work.model_store import ModelStore
from boxmask_server.work.pipelines import WorkOptions, open_engines, open_pipelines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from boxmask_server.operation.logs import LineHandler
    from boxmask_server.operation.settings import Settings
    from boxmask_server.supervise import Place

LOCAL = frozenset({"127.0.0.1", "[::1]", "localhost"})

logger = logging.getLogger(__name__)


async def run(settings: Settings, lines: LineHandler, place: Place | None) -> int:
    """Serves until SIGTERM or SIGINT, then drains; SIGHUP reads bundles, tokens and certificates again.

    Args:
        settings: What the server is told.
        lines: What writes its log.
        place: Which of several processes it is, if it is one of several.

    Returns:
        The exit status: 0.
    """
    stop = _stop_signal()
    metrics = Metrics(settings.workers, reason_of)
    metrics.logs(lambda: lines.lost)
    tracing = open_tracing(settings.otlp_endpoint, settings.trace_ratio)
    try:
        listening = _listening(settings, place)
        _warn(settings)
        async with _open_store(settings, metrics) as store:
            made = server.Server(store, listening, metrics, tracing)
            with _shown(metrics, settings.metrics, place):
                await _until_stopped(made, settings.grace, stop)
    finally:
        await asyncio.to_thread(tracing.close)
    return 0


@contextlib.asynccontextmanager
async def _open_store(settings: Settings, metrics: Metrics) -> AsyncIterator[ModelStore]:
    host = HostEngines(settings.grabcut_engine, settings.crf_engine)
    cuda = CudaOptions(
        memory_limit=settings.gpu_mem_limit,
        io_binding=settings.io_binding,
        graphs=settings.cuda_graph,
        tensorrt=settings.tensorrt,
        tensorrt_cache=settings.tensorrt_cache,
    )
    options = WorkOptions(_limits(settings), settings.max_batch, settings.max_batch_pixels, host)
    async with HostPool(settings.workers, open_pixels=settings.open_pixels) as pool:
        await pool.run(warm_up, host)
        store = ModelStore(
            settings.bundles or (BundleSource("starter", starter_path()),),
            partial(open_engines, device=settings.device, threads=settings.threads, cuda=cuda),
            lambda engines: open_pipelines(engines, pool, options, metrics),
            versions=settings.versions,
        )
        async with store:
            yield store


async def _until_stopped(made: server.Server, grace: float, stop: asyncio.Event) -> None:
    address = await made.start()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.create_task(made.reloading.everything())
        reloads.add(task)  # else nothing holds it
        task.add_done_callback(reloads.discard)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
    _say(f"{LISTENING}{address}\n")
    await stop.wait()
    logger.info("draining, at most %g s", grace)
    await made.drain(grace)


def _listening(settings: Settings, place: Place | None) -> server.Settings:
    certificates = None
    if settings.tls_cert is not None and settings.tls_key is not None:
        certificates = Certificates(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    return server.Settings(
        settings.listen if place is None else place.address,
        queue=settings.queue,
        stream_window=settings.stream_window,
        certificates=certificates,
        tokens=Tokens(settings.tokens) if settings.tokens is not None else None,
        queue_bytes=settings.queue_bytes,
        concurrent_calls=settings.concurrent_calls,
        limits=_limits(settings),
        workers=settings.workers,
        admin=settings.admin,
        connection_age=settings.connection_age,
        stall_seconds=settings.stall_seconds,
        shares_port=place is not None,
    )


def _limits(settings: Settings) -> Limits:
    return Limits(settings.max_bytes, settings.max_pixels, settings.max_boxes)


def _warn(settings: Settings) -> None:
    """Says what is allowed, and still hardly meant."""
    if settings.listen.startswith("unix:") or settings.listen.rpartition(":")[0] in LOCAL:
        return
    if settings.tokens is not None and settings.tls_cert is None:
        logger.warning("tokens travel in plain text: give --tls-cert and --tls-key, or let a mesh encrypt")
    if settings.admin and settings.tokens is None and settings.tls_client_ca is None:
        logger.warning("whoever reaches %s may call AdminService: give --tokens", settings.listen)


@contextlib.contextmanager
def _shown(metrics: Metrics, address: str | None, place: Place | None) -> Iterator[None]:
    if address is None:
        yield
        return
    with metrics.serve(address if place is None else place.metrics(address)) as taken:
        logger.info("metrics at http://%s/metrics", taken)
        yield


def _say(line: str) -> None:
    """Tells whoever started the server; that nobody can be told is no reason not to serve."""
    try:
        os.write(sys.stdout.fileno(), line.encode())
    except OSError as error:
        logger.warning("could not say %r: %s", line.strip(), error)


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # Until it listens there is nothing to read again, and the signal itself would end the process.
    loop.add_signal_handler(signal.SIGHUP, logger.info, "SIGHUP came before the server was ready")
    return stop
