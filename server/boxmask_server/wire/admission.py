"""The door of the service: who may come in, who waits, who is refused."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from boxmask_core.errors import DrainingError, QueueFullError
from boxmask_server.work.places import Places
from boxmask_server.work.urgency import Priority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

QUEUE_BYTES = 512 * 1024 * 1024
"""Bytes of encoded images inside, where nothing else is said."""


class Admission:
    """Bounds how many requests are worked on, and how many bytes they hold; closes before the server does.

    A part of both is out of reach of bulk work, so that who waits for an answer finds room beside it.

    Args:
        capacity: Requests inside, at most.
        capacity_bytes: Bytes that they hold, at most.
    """

    def __init__(self, capacity: int, capacity_bytes: int = QUEUE_BYTES) -> None:
        self._places = Places(capacity)
        self._bytes = Places(capacity_bytes)
        self._unanswered = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.closed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def enter(
        self, *, wait: bool, size: int = 0, priority: Priority = Priority.INTERACTIVE
    ) -> AsyncIterator[None]:
        """Holds a place while the block runs.

        Args:
            wait: Whether to wait for a place (an item of a stream, which slows its sender) or to be refused
                where there is none (a single request, whose sender knows better what to do).
            size: Bytes that the request holds.
            priority: Who goes first.

        Raises:
            DrainingError: The door is closed.
            QueueFullError: There is no place, and the caller does not wait.
        """
        if self.closed.is_set():
            raise DrainingError
        if not wait:
            self._refuse_if_full(size, priority)
        self._unanswered += 1
        self._idle.clear()
        try:
            async with self._places.hold(priority=priority), self._bytes.hold(size, priority):
                yield
        finally:
            self._unanswered -= 1
            if self._unanswered == 0:
                self._idle.set()

    @property
    def unanswered(self) -> int:
        """Requests that are worked on or wait."""
        return self._unanswered

    @property
    def bytes_inside(self) -> int:
        """Bytes that the requests inside hold."""
        return self._bytes.taken

    def waiting(self, priority: Priority) -> int:
        """Returns how many requests wait for a place or for room."""
        return self._places.waiting_in(priority) + self._bytes.waiting_in(priority)

    def close(self) -> None:
        """Lets nobody in from now on; who is inside, or already waits, is answered."""
        self.closed.set()

    async def idle(self) -> None:
        """Returns when nobody is inside."""
        await self._idle.wait()

    def _refuse_if_full(self, size: int, priority: Priority) -> None:
        if not self._places.has_room(1, priority):
            raise QueueFullError(self._places.capacity)
        if not self._bytes.has_room(size, priority):
            raise QueueFullError(self._bytes.capacity, "bytes")
