"""Gathers single items into batches. It knows nothing of what the items are.

Where items are of kinds that do not go together, a batch holds one kind, that of the item that waits longest.
Within a batch the items with the most work behind them come first and are answered first: what takes longest
afterwards is begun first, so that nobody waits for a straggler at the end.

There is no loop that could die and no timer: every arrival and every finished batch asks whether a batch
may leave. A partial batch leaves when nothing runs, so an idle machine adds no delay; a full one leaves
ahead while another runs, so the device finds it prepared. What arrives meanwhile forms the next batch.

The idea of a queue whose entries hold their own way to answer, and of one batch prepared ahead, is that of
Hugging Face's text-embeddings-inference (core/src/queue.rs, infer.rs).
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

from boxmask_core.errors import DrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")

IN_FLIGHT = 2
"""Batches that have left the queue at most: one that runs, one that is prepared."""


@dataclass(frozen=True, slots=True, eq=False)
class _Entry(Generic[Item, Result]):
    item: Item
    work: float
    answer: asyncio.Future[Result]


class Batcher(Generic[Item, Result]):
    """Runs a function of many items for callers that have one each.

    A caller that is cancelled leaves its batch; a batch that fails is tried again item by item, so that only
    the items that fail alone are answered by an error. Neither touches the other callers.

    Args:
        run: Maps items to results, in order. It is called in threads, by up to two at once.
        max_batch: Items of one batch, at most.
        capacity: Items that it holds, waiting and running, at most; further callers wait at the door.
        kind: Tells which items go together; without it, all do.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        max_batch: int,
        capacity: int,
        kind: Callable[[Item], Hashable] = lambda _: None,
    ) -> None:
        self._run = run
        self._kind = kind
        self._max_batch = max_batch
        self._room = asyncio.Semaphore(capacity)
        self._queue: deque[_Entry[Item, Result]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="boxmask-batch")
        self._look_is_due = False
        self._closed = False

    async def submit(self, item: Item, work: float = 0.0) -> Result:
        """Returns the item's result; waits at the door while the batcher is full.

        Args:
            item: The item.
            work: How much work its caller has with the result, in any unit.

        Raises:
            DrainingError: The batcher is closed.
            Exception: What ``run`` raised for this item alone.
        """
        async with self._room:
            if self._closed:
                raise DrainingError
            entry: _Entry[Item, Result] = _Entry(item, work, asyncio.get_running_loop().create_future())
            self._queue.append(entry)
            self._look_soon()
            return await entry.answer

    async def close(self) -> None:
        """Takes no new items, and returns when every item it holds is answered."""
        self._closed = True
        while self._queue or self._running:
            self._look()
            if self._running:
                await asyncio.wait(self._running)
        self._threads.shutdown()

    def _look_soon(self) -> None:
        # After this turn of the event loop, so that items submitted together leave together.
        if not self._look_is_due:
            self._look_is_due = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._look_is_due = False
        while batch := self._next_batch():
            task = asyncio.get_running_loop().create_task(self._answer(batch))
            self._running.add(task)
            task.add_done_callback(self._finished)

    def _next_batch(self) -> list[_Entry[Item, Result]]:
        self._drop_departed()
        batch = self._oldest_kind()
        is_full = len(batch) >= self._max_batch
        if self._running and not (is_full and len(self._running) < IN_FLIGHT):
            return []
        taken = set(map(id, batch))
        self._queue = deque(entry for entry in self._queue if id(entry) not in taken)
        return sorted(batch, key=lambda entry: -entry.work)

    def _oldest_kind(self) -> list[_Entry[Item, Result]]:
        """Returns what would leave: the oldest entry and the next of its kind, in the order of arrival."""
        if not self._queue:
            return []
        kind = self._kind(self._queue[0].item)
        return list(
            islice((entry for entry in self._queue if self._kind(entry.item) == kind), self._max_batch)
        )

    def _drop_departed(self) -> None:
        if any(entry.answer.done() for entry in self._queue):
            self._queue = deque(entry for entry in self._queue if not entry.answer.done())

    async def _answer(self, batch: list[_Entry[Item, Result]]) -> None:
        """Runs a batch; answers each entry exactly once, and never fails itself."""
        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self._threads, self._run, [entry.item for entry in batch])
            pairs = list(zip(batch, results, strict=True))
        except Exception as error:  # whatever it is, it belongs to the callers
            await self._answer_failed(batch, error)
            return
        for entry, result in pairs:
            if not entry.answer.done():
                entry.answer.set_result(result)

    async def _answer_failed(self, batch: list[_Entry[Item, Result]], error: Exception) -> None:
        if len(batch) == 1:
            if not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        for entry in batch:
            if not entry.answer.done():
                await self._answer([entry])

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._look()
