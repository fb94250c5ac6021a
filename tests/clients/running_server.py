"""A real boxmask server in a thread of the test process."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from boxmask_core.engines import HostEngines
from boxmask_server.server import Server, Settings
from boxmask_server.work.host_pool import HostPool
from boxmask_server.work.labeler import Limits
from boxmask_server.work.model_store import ModelStore
from boxmask_server.work.pipelines import WorkOptions, open_engines, open_pipelines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boxmask_core.bundle import Bundle


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
        options = WorkOptions(limits or Limits(), host=host or HostEngines())
        settings = Settings(listen, stream_window=8, limits=options.limits, workers=2)
        async with (
            HostPool(2) as pool,
            ModelStore(
                [("tiny", bundle.root)],
                partial(open_engines, device="cpu", threads=1),
                lambda engines: open_pipelines(engines, pool, options),
            ) as store,
        ):
            server = Server(store, settings)
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
