"""A real boxmask server in a thread of the test process."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from boxmask_server.server import Server, Settings
from boxmask_server.wire.converters import model_of
from boxmask_server.work.labeler import Limits
from boxmask_server.work.pipelines import open_engines, open_pipelines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boxmask_core.bundle import Bundle
    from boxmask_core.engines import HostEngines


@contextmanager
def running_server(
    bundle: Bundle, listen: str, limits: Limits | None = None, host: HostEngines | None = None
) -> Iterator[str]:
    """Runs a server while the block runs, and gives its address."""
    loop = asyncio.new_event_loop()
    started: asyncio.Future[str] = loop.create_future()
    stop = asyncio.Event()
    ready = threading.Event()

    async def serve() -> None:
        engines = open_engines(bundle, device="cpu", threads=1)
        models = [model_of(engine, limits or Limits(), 8) for engine in engines.all()]
        async with open_pipelines(engines, limits=limits, workers=2, host=host) as pipelines:
            server = Server(pipelines, models, Settings(listen, stream_window=8))
            started.set_result(await server.start())
            ready.set()
            await stop.wait()
            await server.drain(5.0)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait(120)  # what is compiled may have to be compiled first
    try:
        yield started.result()
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
