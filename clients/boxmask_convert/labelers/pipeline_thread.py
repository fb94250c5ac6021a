"""A pipeline of the server, without the server: in an event loop of its own thread."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")
Result = TypeVar("Result")


class PipelineThread(Generic[Asked, Answered]):
    """Answers questions in this process; see `Answerer`.

    Args:
        pipeline: Opens the pipeline, and gives the function that answers one question.
        description: See `Answerer.description`.
    """

    def __init__(
        self,
        pipeline: AbstractAsyncContextManager[Callable[[Asked], Coroutine[Any, Any, Answered]]],
        description: str,
    ) -> None:
        self.description = description
        self._pipeline = pipeline
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="pipeline", daemon=True)

    def submit(self, question: Asked) -> Future[Answered]:
        """See `Answerer.submit`."""
        return asyncio.run_coroutine_threadsafe(self._answer(question), self._loop)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._answer = self._run(self._pipeline.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._drop_and_close())
        self._stop()

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _drop_and_close(self) -> None:
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._pipeline.__aexit__(None, None, None)
