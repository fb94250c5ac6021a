"""Who runs a batch: a thread of the host pool on the CPU, threads of the network's own beside a GPU."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

from boxmask_server.networks.cuda import CPU
from boxmask_server.work.batcher import PREPARED_AHEAD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from boxmask_server.networks.session import Inferred
    from boxmask_server.work.host_pool import HostPool
    from boxmask_server.work.urgency import Urgency

Item = TypeVar("Item")


class DeviceRuns(Generic[Item]):
    """Runs batches of one network.

    On the CPU in the host pool, so that no core is asked for twice. Beside a GPU in two threads of its own:
    while one waits for the device, the other prepares the next batch.

    Args:
        infer: The network, given a batch and whether another one is being run.
        provider: The ONNX Runtime provider that runs it.
        pool: The host pool.
    """

    def __init__(
        self, infer: Callable[[Sequence[Item], bool], list[Inferred]], provider: str, pool: HostPool
    ) -> None:
        self._infer = infer
        self._pool = pool
        self._running = 0
        self._threads = None
        if provider != CPU:
            self._threads = ThreadPoolExecutor(PREPARED_AHEAD, thread_name_prefix="boxmask-batch")

    async def run(self, items: Sequence[Item], urgency: Urgency) -> list[Inferred]:
        """Returns what the network gives the items, in order."""
        beside = self._running > 0
        self._running += 1
        try:
            if self._threads is None:
                return await self._pool.run_for(urgency, self._infer, items, beside)
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._infer, items, beside)
        finally:
            self._running -= 1

    def close(self) -> None:
        """Gives the threads back; nothing may run any more."""
        if self._threads is not None:
            self._threads.shutdown()
