"""Keeps the books of a stream in an event loop: one task that pulls the questions, and one for each lane."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Generic

from boxmask_client.errors import ServerError
from boxmask_client.exchange import Answered, Asked, Item, Reply
from boxmask_client.ledger import Key, Ledger
from boxmask_client.stream import LAST_WORD
from boxmask_client.transport import late

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator

    from boxmask_client.aio.transport import AsyncTransport
    from boxmask_client.exchange import Exchange
    from boxmask_client.ledger import Entry


async def stream_answers(
    transport: AsyncTransport,
    exchange: Exchange[Asked, Answered, Item, Reply],
    ledger: Ledger[Key, Asked, Answered, Item, Reply],
    items: AsyncIterable[tuple[Key, Asked]] | Iterable[tuple[Key, Asked]],
    *,
    timeout: float | None,
    request_id: str,
) -> AsyncGenerator[tuple[Key, Answered | ServerError], None]:
    """Asks many questions; see `boxmask_client.stream.stream_answers`.

    Args:
        transport: The way to the servers.
        exchange: What is asked and answered.
        ledger: The books, empty.
        items: The caller's key of each question, and the question. Pulled only while there is room; what is
            no asynchronous iterable is pulled in a thread, so that it may wait.
        timeout: Seconds for the whole stream; None for no limit.
        request_id: What the stream's calls are called in the servers' logs.

    Raises:
        ServerError: The stream itself failed; what was not answered by then stays unanswered.
        Exception: Whatever ``items`` raised, after the questions before it were answered.
    """
    run = _Run(transport, exchange, ledger, timeout, request_id)
    try:
        run.start(items)
        while (outcome := await run.next()) is not None:
            yield outcome
        await run.finish()
    finally:
        await run.close()


class _Run(Generic[Key, Asked, Answered, Item, Reply]):
    """One stream at work."""

    def __init__(
        self,
        transport: AsyncTransport,
        exchange: Exchange[Asked, Answered, Item, Reply],
        ledger: Ledger[Key, Asked, Answered, Item, Reply],
        timeout: float | None,
        request_id: str,
    ) -> None:
        self._ledger: Ledger[Key, Asked, Answered, Item, Reply] = ledger
        self._transport = transport
        self._exchange: Exchange[Asked, Answered, Item, Reply] = exchange
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._request_id = request_id
        self._changed = asyncio.Event()
        self._pulling: asyncio.Task[None] | None = None
        self._lanes: list[asyncio.Task[None]] = []

    def start(self, items: AsyncIterable[tuple[Key, Asked]] | Iterable[tuple[Key, Asked]]) -> None:
        """Starts the tasks."""
        questions = aiter(items) if isinstance(items, AsyncIterable) else _in_thread(iter(items))
        self._pulling = asyncio.create_task(self._pull(questions))
        self._lanes = [
            asyncio.create_task(self._keep_lane(lane)) for lane in range(len(self._transport.targets))
        ]

    async def next(self) -> tuple[Key, Answered | ServerError] | None:
        """Returns the next outcome; None after the last.

        Raises:
            Exception: What ended the stream.
        """
        try:
            async with asyncio.timeout(self._remaining()):
                while (outcome := self._ledger.hand_over()) is None:
                    if self._ledger.is_settled():
                        return None
                    await self._change()
        except TimeoutError:
            raise late(self._timeout, self._transport.targets) from None
        self._notify()
        return outcome

    async def finish(self) -> None:
        """Lets the servers end their streams, once all is handed over.

        Raises:
            Exception: What was wrong with their end.
        """
        if up := [self._lanes[lane] for lane in self._ledger.lanes_up()]:
            await asyncio.wait(up, timeout=LAST_WORD)
        if self._ledger.failure is not None:
            raise self._ledger.failure

    async def close(self) -> None:
        """Ends the calls and their tasks."""
        tasks = self._lanes if self._pulling is None else [self._pulling, *self._lanes]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pull(self, questions: AsyncIterator[tuple[Key, Asked]]) -> None:
        try:
            while await self._wait(self._ledger.has_room):
                self._ledger.take(*await anext(questions))
                self._notify()
        except StopAsyncIteration:
            self._ledger.end()
        except Exception as error:  # crosses to the caller's task, and is raised there
            self._ledger.end(error)
        self._notify()

    async def _keep_lane(self, lane: int) -> None:
        try:
            while await self._wait(lambda: self._ledger.has_work(lane)):
                pause = await self._run_lane(lane)
                self._notify()
                await self._sleep(pause)
        except Exception as error:  # crosses to the caller's task, and is raised there
            self._ledger.fail(error)
            self._notify()

    async def _run_lane(self, lane: int) -> float:
        """Answers questions over one stream, as long as it lasts; returns the pause before the next."""
        replies = None
        over = asyncio.Event()
        try:
            await self._transport.connect(lane, timeout=self._remaining(), request_id=self._request_id)
            if self._ledger.is_settled():
                return 0.0
            self._ledger.opened(lane)
            replies = self._transport.stream(
                self._exchange.rpc,
                self._questions(lane, over),
                lane=lane,
                timeout=self._remaining(),
                request_id=self._request_id,
            )
            async for reply in replies:
                await self._answer(lane, reply)
        except ServerError as error:
            over.set()
            return self._ledger.broke(lane, error)
        else:
            over.set()
            return self._ledger.closed(lane)
        finally:
            over.set()
            self._notify()
            if replies is not None:
                replies.cancel()

    async def _questions(self, lane: int, over: asyncio.Event) -> AsyncIterator[Item]:
        """Yields the messages of a lane, until it is over, which gRPC does not tell this generator."""
        ledger = self._ledger
        while await self._wait(lambda: over.is_set() or ledger.has_work(lane) or ledger.may_close()):
            if over.is_set() or not ledger.has_work(lane):
                return
            entry = ledger.next_for(lane)
            try:
                item = await self._written(entry)
            except Exception as error:  # crosses to the caller's task, and is raised there
                ledger.fail(error)
                self._notify()
                return
            if ledger.is_too_large(entry, item):
                self._notify()
            else:
                yield item

    async def _written(self, entry: Entry[Key, Asked]) -> Item:
        if self._exchange.slow_write(entry.asked):
            return await asyncio.to_thread(self._ledger.write, entry)
        return self._ledger.write(entry)

    async def _answer(self, lane: int, reply: Reply) -> None:
        entry = self._ledger.entry_of(lane, reply)
        if self._exchange.slow_read:
            outcome = await asyncio.to_thread(self._ledger.read, entry, reply)
        else:
            outcome = self._ledger.read(entry, reply)
        self._ledger.answered(lane, entry, outcome)
        self._notify()

    async def _wait(self, wanted: Callable[[], bool]) -> bool:
        """Waits until something is wanted; False where it never will be."""
        while not self._ledger.is_settled():
            if wanted():
                return True
            await self._change()
        return False

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0 and not self._ledger.is_settled():
            await asyncio.sleep(seconds)

    async def _change(self) -> None:
        await self._changed.wait()

    def _notify(self) -> None:
        """Wakes whoever waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _remaining(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())


async def _in_thread(items: Iterator[tuple[Key, Asked]]) -> AsyncIterator[tuple[Key, Asked]]:
    def pull() -> tuple[Key, Asked] | None:
        return next(items, None)

    while (item := await asyncio.to_thread(pull)) is not None:
        yield item
