"""How late the event loop is: every answer waits for it."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

INTERVAL: Final = 0.25
"""Seconds between two looks."""

logger = logging.getLogger(__name__)


class LoopLag:
    """Measures, while it is open, how much later than asked the event loop wakes up.

    A thread beside it notices a loop that does not turn at all, and logs where it stands: once it turns
    again, nobody could tell any more.

    Args:
        measured: Is given every measurement, seconds.
        stall_seconds: Seconds without a turn after which the loop counts as stalled.
        interval: Seconds between two measurements.
    """

    def __init__(
        self, measured: Callable[[float], None], stall_seconds: float, interval: float = INTERVAL
    ) -> None:
        self._measured = measured
        self._stall_seconds = stall_seconds
        self._interval = interval
        self._last_turn = time.monotonic()
        self._closed = threading.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Measures while the block runs."""
        self._last_turn = time.monotonic()
        loop_thread = threading.get_ident()
        watcher = threading.Thread(
            target=self._watch, args=(loop_thread,), name="boxmask-loop-watch", daemon=True
        )
        watcher.start()
        measuring = asyncio.create_task(self._measure())
        try:
            yield
        finally:
            measuring.cancel()
            await asyncio.gather(measuring, return_exceptions=True)
            self._closed.set()
            watcher.join()

    def stalled_for(self) -> float:
        """Returns the seconds since the loop last turned, beyond the interval; for another thread to ask."""
        return max(0.0, time.monotonic() - self._last_turn - self._interval)

    async def _measure(self) -> None:
        try:
            while True:
                asked = time.monotonic()
                await asyncio.sleep(self._interval)
                self._last_turn = time.monotonic()
                self._measured(max(0.0, self._last_turn - asked - self._interval))
        finally:
            self._closed.set()  # a loop that ends is not one that stands still

    def _watch(self, loop_thread: int) -> None:
        told = False
        while not self._closed.wait(min(self._interval, self._stall_seconds)):
            stalled = self.stalled_for() > self._stall_seconds
            if stalled and not told:
                frame = sys._current_frames().get(loop_thread)  # the only way to see another thread's stack
                where = "".join(traceback.format_stack(frame)) if frame is not None else ""
                logger.error(
                    "the event loop has not turned for %.1f s; it stands at\n%s", self.stalled_for(), where
                )
            told = stalled
