"""Answers a stream of items with bounded work in flight. It knows nothing of gRPC."""

from __future__ import annotations

import asyncio
from itertools import takewhile
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
    in_order: bool = False,
) -> AsyncGenerator[Result, None]:
    """Yields the answer of every item.

    Closing this iterator cancels what is in flight.

    Args:
        items: What is asked.
        answer: Answers one item; it must not raise.
        window: The next item is read only while fewer than this many are unanswered.
        closed: Once set, no more items are read.
        in_order: Whether answers come in the order of the items; otherwise each comes as soon as it is ready.

    Raises:
        DrainingError: ``closed`` was set before the items ended; what had been read is answered.
    """
    unanswered: list[asyncio.Task[Result]] = []
    reading: asyncio.Task[Item | None] | None = None
    closing = asyncio.create_task(closed.wait())
    more, drained = True, False
    try:
        while True:
            if more and reading is None and len(unanswered) < window:
                reading = asyncio.create_task(_next(items))
            if reading is None and not unanswered:
                break
            next_ones = unanswered[:1] if in_order else unanswered
            events = {*next_ones, closing} if reading is None else {*next_ones, closing, reading}
            await asyncio.wait(events if more else next_ones, return_when=asyncio.FIRST_COMPLETED)
            if reading is not None and reading.done():
                item, reading = reading.result(), None
                more = item is not None
                if item is not None:
                    unanswered.append(asyncio.create_task(answer(item)))
            if more and closing.done():
                more, drained = False, True
                await _cancel([reading] if reading is not None else [])
                reading = None
            is_ready = asyncio.Task[Result].done
            for task in list(takewhile(is_ready, unanswered) if in_order else filter(is_ready, unanswered)):
                unanswered.remove(task)
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
