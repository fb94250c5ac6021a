"""The pool of host threads that decode, cut and encode beside the accelerator.

Threads, not processes: Pillow, OpenCV and ONNX Runtime release the interpreter's lock while they work, and
pixels need not be copied.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar

from boxmask_server.networks.cores import one_thread_each

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

Params = ParamSpec("Params")
Result = TypeVar("Result")


class HostPool:
    """Runs plain functions in a fixed number of threads; an asynchronous context manager.

    Leaving it waits for what runs and drops what does not.

    Args:
        workers: Number of threads.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        one_thread_each()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="boxmask-host")
        self.map = self._threads.map
        """Goes through work in the pool's threads; blocks, so it is not for the event loop."""

    async def run(
        self, function: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
    ) -> Result:
        """Returns the function's result; it never runs if the caller is cancelled before a worker is free."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(function, *args, **kwargs))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
