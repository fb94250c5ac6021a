"""The pool of host threads that decode, cut and encode beside the accelerator.

Threads, not processes: Pillow, OpenCV and ONNX Runtime release the interpreter's lock while they work, and
pixels need not be copied. What waits for a thread waits by priority, and is dropped where nobody waits for it
any more or its deadline is past.
"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from boxmask_core.errors import DeadlineError
from boxmask_server.networks.cores import one_thread_each
from boxmask_server.work.lanes import Lanes
from boxmask_server.work.places import Places
from boxmask_server.work.urgency import AT_ONCE, Urgency

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from boxmask_server.work.urgency import Priority

OPEN_PIXELS = 256_000_000
"""Pixels of decoded images held at once: 768 MB, four images of the default limit."""

Params = ParamSpec("Params")
Result = TypeVar("Result")


class HostPool:
    """Runs plain functions in a fixed number of threads; an asynchronous context manager.

    Leaving it waits for what runs and drops what does not.

    Args:
        workers: Number of threads.
        open_pixels: Pixels of decoded images that are held at once, at most.

    Attributes:
        pixels: Room for decoded images, shared by all who use the pool.
    """

    def __init__(self, workers: int, *, open_pixels: int = OPEN_PIXELS) -> None:
        self.workers = workers
        self.pixels = Places(open_pixels)
        one_thread_each()
        self._tasks: Lanes[tuple[Future[Any], Callable[[], Any], Urgency]] = Lanes()
        self._change = threading.Condition()
        self._closed = False
        self._began: dict[int, float] = {}
        self._threads = [
            threading.Thread(target=self._work, name=f"boxmask-host-{i}", daemon=True) for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    async def run(
        self, function: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
    ) -> Result:
        """Returns the function's result; it never runs if the caller is cancelled before a worker is free."""
        return await self.run_for(AT_ONCE, function, *args, **kwargs)

    async def run_for(
        self,
        urgency: Urgency,
        function: Callable[Params, Result],
        *args: Params.args,
        **kwargs: Params.kwargs,
    ) -> Result:
        """Does what `run` does, as urgently as said.

        Raises:
            DeadlineError: The deadline passed before a worker was free.
            Exception: What the function raised.
        """
        future: Future[Result] = Future()
        with self._change:
            if self._closed:
                raise RuntimeError("the host pool is closed")
            self._tasks.push((future, partial(function, *args, **kwargs), urgency), urgency.priority)
            self._change.notify()
        return await asyncio.wrap_future(future)

    def waiting(self, priority: Priority) -> int:
        """Returns how many functions wait for a worker."""
        return self._tasks.waiting(priority)

    def stalled_for(self) -> float:
        """Returns the seconds that the oldest function which runs has been running; 0 where none runs."""
        began = min(list(self._began.values()), default=None)
        return 0.0 if began is None else time.monotonic() - began

    def close(self) -> None:
        """Drops what does not run yet, and waits for what does."""
        with self._change:
            self._closed = True
            for future, _, _ in self._tasks:
                future.cancel()
            self._tasks.keep(lambda _: False)
            self._change.notify_all()
        for thread in self._threads:
            thread.join()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def _work(self) -> None:
        while (task := self._next()) is not None:
            future, function, urgency = task
            if not future.set_running_or_notify_cancel():
                continue
            if urgency.missed():
                future.set_exception(DeadlineError())
                continue
            self._began[threading.get_ident()] = time.monotonic()
            try:
                result = function()
            except BaseException as error:  # it belongs to the caller, and the thread lives on
                future.set_exception(error)
            else:
                future.set_result(result)
            del self._began[threading.get_ident()]
            # What the task held is not to live until the next one comes.
            del task, future, function
            result = None

    def _next(self) -> tuple[Future[Any], Callable[[], Any], Urgency] | None:
        with self._change:
            while not len(self._tasks):
                if self._closed:
                    return None
                self._change.wait()
            return self._tasks.pop()
