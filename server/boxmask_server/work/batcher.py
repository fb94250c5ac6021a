"""Gathers single items into batches. It knows nothing of what the items are.

A batch holds items of one kind, up to a number and up to a cost. It starts with the item whose turn it is
(interactive ones first, bulk ones after every few of them) and takes the next of its kind. Within a batch the
items with the most work behind them come first and are answered first: what takes longest afterwards is begun
first, so that nobody waits for a straggler at the end.

There is no timer: every arrival and every finished batch asks whether a batch may leave. A partial batch
leaves when nothing runs, so an idle machine adds no delay; a full one leaves ahead while another runs, so the
device finds it prepared. What arrives meanwhile forms the next batch.

An entry holds its own way to answer. Whoever has left, or whose deadline cannot be met any more, is dropped
before it costs a run. A batch that fails is halved until what fails alone is found. A fault of the batcher's
own answers everyone it holds, is counted, and the batcher begins anew.

The idea of a queue whose entries hold their own way to answer, and of one batch prepared ahead, is that of
Hugging Face's text-embeddings-inference (core/src/queue.rs, infer.rs).
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from boxmask_core.errors import DeadlineError, DrainingError
from boxmask_server.work.lanes import Lanes
from boxmask_server.work.observer import Nobody
from boxmask_server.work.places import Places
from boxmask_server.work.urgency import AT_ONCE, Priority, Urgency

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Sequence

    from boxmask_server.work.observer import Observer

Item = TypeVar("Item")
Result = TypeVar("Result")

PREPARED_AHEAD = 2
"""Batches that have left the queue at most, for one device: one that runs, one that is prepared."""
MEMORY = 0.8
"""How much of the estimate of a run's time stays when a new run has been timed."""

logger = logging.getLogger(__name__)


class Measure(NamedTuple):
    """What a batcher must know of an item.

    Attributes:
        kind: Items of different kinds do not go together.
        cost: What it takes of a batch's budget, for example pixels.
        padding: How much of the cost is waste.
    """

    kind: Hashable = None
    cost: int = 1
    padding: int = 0


@dataclass(frozen=True, slots=True)
class Budget:
    """What one batch may hold. The first item always fits.

    Attributes:
        items: Items, at most.
        cost: Sum of their costs, at most; None for no limit.
    """

    items: int
    cost: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Entry(Generic[Item, Result]):
    item: Item
    measure: Measure
    work: float
    urgency: Urgency
    answer: asyncio.Future[Result]
    arrival: float = field(default_factory=time.monotonic)


class Batcher(Generic[Item, Result]):
    """Runs a function of many items for callers that have one each.

    Args:
        run: Maps items to results, in order, as urgently as the most urgent of them.
        name: What it is called in logs and metrics.
        budget: What one batch may hold.
        capacity: Items that it holds, waiting and running, at most; further callers wait at the door.
        in_flight: Batches that have left the queue, at most.
        crowd: Items that must wait before a batch leaves beside another one.
        measure: Tells what must be known of an item. What it raises is its caller's.
        observer: Is told what happens.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item], Urgency], Awaitable[Sequence[Result]]],
        *,
        name: str,
        budget: Budget,
        capacity: int,
        in_flight: int = PREPARED_AHEAD,
        crowd: int = 1,
        measure: Callable[[Item], Measure] = lambda _: Measure(),
        observer: Observer | None = None,
    ) -> None:
        self._run = run
        self._name = name
        self._budget = budget
        self._in_flight = in_flight
        self._crowd = crowd
        self._measure = measure
        self._observer = observer or Nobody()
        self._room = Places(capacity)
        self._queue = Lanes[_Entry[Item, Result]]()
        self._running: dict[asyncio.Task[None], float] = {}
        self._seconds_per_cost = 0.0
        self._look_is_due = False
        self._closed = False

    async def submit(self, item: Item, *, work: float = 0.0, urgency: Urgency = AT_ONCE) -> Result:
        """Returns the item's result; waits at the door while the batcher is full.

        Args:
            item: The item.
            work: How much work its caller has with the result, in any unit.
            urgency: Who goes first, and until when the result is wanted.

        Raises:
            DrainingError: The batcher is closed.
            DeadlineError: The deadline cannot be met any more.
            Exception: What ``run`` raised for this item alone.
        """
        measure = self._measure(item)
        async with self._room.hold(priority=urgency.priority):
            if self._closed:
                raise DrainingError
            answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
            self._queue.push(_Entry(item, measure, work, urgency, answer), urgency.priority)
            self._look_soon()
            return await answer

    def waiting(self, priority: Priority) -> int:
        """Returns how many items wait for a batch."""
        return self._queue.waiting(priority)

    def stalled_for(self) -> float:
        """Returns the seconds that the oldest batch which runs has been running; 0 where none runs."""
        began = min(self._running.values(), default=None)
        return 0.0 if began is None else time.monotonic() - began

    async def close(self) -> None:
        """Takes no new items, and returns when every item it holds is answered."""
        self._closed = True
        while len(self._queue) or self._running:
            self._look()
            if self._running:
                await asyncio.wait(self._running)

    def _look_soon(self) -> None:
        # After this turn of the event loop, so that items submitted together leave together.
        if not self._look_is_due:
            self._look_is_due = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._look_is_due = False
        try:
            while batch := self._next_batch():
                task = asyncio.get_running_loop().create_task(self._answer(batch))
                self._running[task] = time.monotonic()
                task.add_done_callback(self._finished)
        except Exception as error:  # a fault of this file: nobody may be left waiting for it
            self._begin_anew(error)

    def _begin_anew(self, error: Exception) -> None:
        logger.exception("batcher %s failed and begins anew", self._name, exc_info=error)
        held, self._queue = list(self._queue), Lanes()
        _fail(held, error)
        self._observer.restarted(self._name)

    def _next_batch(self) -> list[_Entry[Item, Result]]:
        self._drop_the_late()
        if not len(self._queue) or len(self._running) >= self._in_flight:
            return []
        batch, is_full = self._gather()
        if self._running and (not is_full or len(self._queue) < self._crowd):
            return []
        taken = set(map(id, batch))
        self._queue.keep(lambda entry: id(entry) not in taken)
        self._queue.served(batch[0].urgency.priority)
        return sorted(batch, key=lambda entry: -entry.work)

    def _gather(self) -> tuple[list[_Entry[Item, Result]], bool]:
        """Returns what would leave: whose turn it is and the next of its kind; and whether it is full."""
        batch: list[_Entry[Item, Result]] = []
        cost = 0
        for entry in self._queue:
            if batch and entry.measure.kind != batch[0].measure.kind:
                continue
            if batch and self._budget.cost is not None and cost + entry.measure.cost > self._budget.cost:
                return batch, True
            batch.append(entry)
            cost += entry.measure.cost
            if len(batch) == self._budget.items:
                return batch, True
        return batch, self._budget.cost is not None and cost >= self._budget.cost

    def _drop_the_late(self) -> None:
        """Drops whoever has left, and whoever would be answered too late even if it ran now and alone."""
        dropped = 0
        for entry in self._queue:
            if entry.answer.done():
                self._observer.dropped("cancelled")
                dropped += 1
            elif entry.urgency.missed(self._seconds_per_cost * entry.measure.cost):
                entry.answer.set_exception(DeadlineError())
                self._observer.dropped("deadline")
                dropped += 1
        if dropped:
            self._queue.keep(lambda entry: not entry.answer.done())

    async def _answer(self, batch: list[_Entry[Item, Result]]) -> None:
        """Runs a batch and answers each entry exactly once, whatever happens."""
        try:
            await self._answer_or_halve(batch)
        finally:
            _fail(batch, RuntimeError(f"the batch of {self._name} ended without an answer"))

    async def _answer_or_halve(self, batch: list[_Entry[Item, Result]]) -> None:
        batch = [entry for entry in batch if not entry.answer.done()]
        if not batch:
            return
        try:
            pairs = list(zip(batch, await self._timed_run(batch), strict=True))
        except Exception as error:  # whatever it is, it belongs to the callers
            if len(batch) == 1:
                _fail(batch, error)
                return
            middle = len(batch) // 2
            await self._answer_or_halve(batch[:middle])
            await self._answer_or_halve(batch[middle:])
            return
        for entry, result in pairs:
            if not entry.answer.done():
                entry.answer.set_result(result)

    async def _timed_run(self, batch: list[_Entry[Item, Result]]) -> Sequence[Result]:
        start = time.monotonic()
        results = await self._run([entry.item for entry in batch], _most_urgent(batch))
        seconds = time.monotonic() - start
        cost = sum(entry.measure.cost for entry in batch)
        known = self._seconds_per_cost or seconds / max(cost, 1)
        self._seconds_per_cost = MEMORY * known + (1 - MEMORY) * seconds / max(cost, 1)
        self._observer.batch(
            self._name,
            len(batch),
            cost,
            sum(entry.measure.padding for entry in batch),
            [start - entry.arrival for entry in batch],
            seconds,
        )
        return results

    def _finished(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a batch of %s ended by a fault of its own", self._name, exc_info=error)
            self._observer.restarted(self._name)
        self._look()


def _most_urgent(batch: Sequence[_Entry[Item, Result]]) -> Urgency:
    """Returns how urgent a batch is: as its most urgent item, with the deadline of the most patient."""
    priorities = {entry.urgency.priority for entry in batch}
    priority = Priority.INTERACTIVE if Priority.INTERACTIVE in priorities else Priority.BULK
    deadlines = [entry.urgency.deadline for entry in batch]
    known = [deadline for deadline in deadlines if deadline is not None]
    return Urgency(priority, max(known) if len(known) == len(deadlines) else None)


def _fail(entries: Sequence[_Entry[Item, Result]], error: Exception) -> None:
    for entry in entries:
        if not entry.answer.done():
            entry.answer.set_exception(error)
