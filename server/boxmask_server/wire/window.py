"""Answers a stream of items with bounded work in flight. It knows nothing of gRPC."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from boxmask_core.errors import DrainingError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
    from typing import Any

Item = TypeVar("Item")
Result = TypeVar("Result")


async def answered(
    items: AsyncIterator[Item],
    answer: Callable[[Item], Coroutine[Any, Any, Result]],
    *,
    window: int,
    closed: asyncio.Event,
) -> AsyncGenerator[Result, None]:
    """Yields the answer of every item as soon as it is ready, in no order.

    Closing this iterator cancels what is in flight.

    Args:
        items: What is asked.
        answer: Answers one item; it must not raise.
        window: The next item is read only while fewer than this many are unanswered.
        closed: Once set, no more items are read.

    Raises:
        DrainingError: ``closed`` was set before the items ended; what had been read is answered.
    """
    unanswered: set[asyncio.Task[Result]] = set()
    reading: asyncio.Task[Item | None] | None = None
    closing = asyncio.create_task(closed.wait())
    more, drained = True, False
    try:
        while True:
            if more and reading is None and len(unanswered) < window:
                reading = asyncio.create_task(_next(items))
            if reading is None and not unanswered:
                break
            events = {*unanswered, closing} if reading is None else {*unanswered, closing, reading}
            await asyncio.wait(events if more else unanswered, return_when=asyncio.FIRST_COMPLETED)
            if reading is not None and reading.done():
                item, reading = reading.result(), None
                more = item is not None
                if item is not None:
                    unanswered.add(asyncio.create_task(answer(item)))
            if more and closing.done():
                more, drained = False, True
                await _cancel([reading] if reading is not None else [])
                reading = None
            for task in [task for task in unanswered if task.done()]:
                unanswered.discard(task)
                yield task.result()
    finally:
        await _cancel([*unanswered, closing, *([reading] if reading is not None else [])])
    if drained:
        raise DrainingError


async def _next(items: AsyncIterator[Item]) -> Item | None:
    try:
        return await anext(items)
    except StopAsyncIteration:
        return None


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
