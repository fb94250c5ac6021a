"""The door of the service: who may come in, who waits, who is refused."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from boxmask_core.errors import DrainingError, QueueFullError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Admission:
    """Bounds how many requests are worked on, and closes before the server does.

    Args:
        capacity: Requests inside, at most.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._permits = asyncio.Semaphore(capacity)
        self._unanswered = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.closed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def enter(self, *, wait: bool) -> AsyncIterator[None]:
        """Holds a place while the block runs.

        Args:
            wait: Whether to wait for a place (an item of a stream, which slows its sender) or to be refused
                where there is none (a single request, whose sender knows better what to do).

        Raises:
            DrainingError: The door is closed.
            QueueFullError: There is no place, and the caller does not wait.
        """
        if self.closed.is_set():
            raise DrainingError
        if not wait and self._permits.locked():
            raise QueueFullError(self._capacity)
        self._unanswered += 1
        self._idle.clear()
        try:
            async with self._permits:
                yield
        finally:
            self._unanswered -= 1
            if self._unanswered == 0:
                self._idle.set()

    @property
    def unanswered(self) -> int:
        """Requests that are worked on or wait."""
        return self._unanswered

    def close(self) -> None:
        """Lets nobody in from now on; who is inside, or already waits, is answered."""
        self.closed.set()

    async def idle(self) -> None:
        """Returns when nobody is inside."""
        await self._idle.wait()
