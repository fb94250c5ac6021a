"""Bounded room, given out by priority: how much may be in work at once."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from boxmask_server.work.lanes import Lanes
from boxmask_server.work.urgency import Priority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RESERVE = 4
"""One part in so many is out of reach of bulk work, so that nobody who waits finds all taken by it."""


class Places:
    """Room for so much at once. Whoever finds none waits in its lane.

    Args:
        capacity: How much there is, in any unit.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._bulk_capacity = max(capacity - capacity // RESERVE, 1)
        self.taken = 0
        self._taken_by_bulk = 0
        self._waiting = Lanes[tuple[int, Priority, asyncio.Future[None]]]()

    @property
    def waiting(self) -> int:
        """How many wait for room."""
        return len(self._waiting)

    def waiting_in(self, priority: Priority) -> int:
        """Returns how many wait in a lane."""
        return self._waiting.waiting(priority)

    def has_room(self, amount: int, priority: Priority) -> bool:
        """Tells whether one who asks now would have to wait."""
        return not self._waiting.waiting(priority) and self._fits(self._clamped(amount, priority), priority)

    @contextlib.asynccontextmanager
    async def hold(self, amount: int = 1, priority: Priority = Priority.INTERACTIVE) -> AsyncIterator[None]:
        """Holds room while the block runs; waits for it if there is none.

        Args:
            amount: How much; what exceeds the capacity counts as all of it, and goes alone.
            priority: Who goes first.
        """
        amount = self._clamped(amount, priority)
        await self._take(amount, priority)
        try:
            yield
        finally:
            self._give(amount, priority)

    def _clamped(self, amount: int, priority: Priority) -> int:
        return min(amount, self._bulk_capacity if priority is Priority.BULK else self.capacity)

    def _fits(self, amount: int, priority: Priority) -> bool:
        if self.taken + amount > self.capacity:
            return False
        return priority is not Priority.BULK or self._taken_by_bulk + amount <= self._bulk_capacity

    async def _take(self, amount: int, priority: Priority) -> None:
        if self.has_room(amount, priority):
            self._book(amount, priority)
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.push((amount, priority, place), priority)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._give(amount, priority)  # it was given and left at once
            else:
                self._serve()  # it stands where it stood, done, until its turn comes
            raise

    def _book(self, amount: int, priority: Priority) -> None:
        self.taken += amount
        self._taken_by_bulk += amount if priority is Priority.BULK else 0

    def _give(self, amount: int, priority: Priority) -> None:
        self._book(-amount, priority)
        self._serve()

    def _serve(self) -> None:
        """Gives room to those whose turn it is; who needs more than there is holds up only its own lane."""
        blocked: set[Priority] = set()
        while (head := self._waiting.head(blocked)) is not None:
            amount, priority, place = head
            if place.done():
                self._waiting.drop(priority)
            elif self._fits(amount, priority):
                self._waiting.drop(priority)
                self._book(amount, priority)
                self._waiting.served(priority)
                place.set_result(None)
            else:
                blocked.add(priority)
