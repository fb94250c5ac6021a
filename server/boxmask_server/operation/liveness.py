"""Tells health when the server is stuck, so that whoever runs it starts it anew.

``grpc.health.v1.Health`` has an entry for each service, which says whether it takes requests, and one for the
empty name, which says whether the process is well. Both turn to NOT_SERVING while a batch, or a step on the
CPU, takes longer than it may. A loop that is stuck cannot answer health at all, which a probe takes for the
same.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from grpc_health.v1 import health_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from grpc_health.v1 import health

INTERVAL: Final = 1.0
"""Seconds between two looks, at most."""
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

logger = logging.getLogger(__name__)


class Liveness:
    """Keeps health true to what the batchers do.

    Args:
        health: What probes ask.
        services: The services that it speaks for.
        stalled_for: Returns the seconds that the oldest piece of work has been running.
        stall_seconds: Seconds that it may.
    """

    def __init__(
        self,
        health: health.aio.HealthServicer,
        services: Sequence[str],
        stalled_for: Callable[[], float],
        stall_seconds: float,
    ) -> None:
        self._health = health
        self._names = ("", *services)
        self._stalled_for = stalled_for
        self._stall_seconds = stall_seconds
        self._is_well = True

    async def announce(self) -> None:
        """Says SERVING for all names."""
        await self._say(SERVING)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Looks after health while the block runs."""
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(min(INTERVAL, self._stall_seconds / 2))
            stalled_for = self._stalled_for()
            is_well = stalled_for <= self._stall_seconds
            if is_well == self._is_well:
                continue
            self._is_well = is_well
            if is_well:
                logger.warning("the work that took so long has ended; health says SERVING again")
            else:
                logger.error(
                    "a piece of work has been running for %.0f s; health says NOT_SERVING", stalled_for
                )
            await self._say(SERVING if is_well else NOT_SERVING)

    async def _say(self, status: int) -> None:
        for name in self._names:
            await self._health.set(name, status)  # ignored once the server drains
