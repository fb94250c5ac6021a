"""What is done about the errors of one call. It neither sends nor waits, so that both clients share it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from boxmask_client.errors import OverloadedError, ServerError, UnavailableError
from boxmask_client.rotation import untried

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from grpc import ChannelConnectivity

    from boxmask_client.retry import Retry


class Attempts:
    """The attempts at one call.

    Args:
        retry: How many, and how far apart.
        timeout: Seconds for all of them together; None for no limit.
        now: The clock, seconds.

    Attributes:
        timeout: As above.
        tried: Places of the servers that failed since the last pause.
    """

    def __init__(
        self, retry: Retry, timeout: float | None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.timeout = timeout
        self.tried: set[int] = set()
        self._retry = retry
        self._now = now
        self._deadline = None if timeout is None else now() + timeout
        self._rounds = 0
        self._refusals = 0

    def remaining(self) -> float | None:
        """Returns the seconds that are left, at least 0; None where there is no limit."""
        return None if self._deadline is None else max(0.0, self._deadline - self._now())

    def pause(self, error: ServerError, place: int, states: Sequence[ChannelConnectivity]) -> float:
        """Returns the seconds to wait before the question is asked again.

        Args:
            error: What the last attempt gave.
            place: The server that gave it.
            states: Of each server.

        Raises:
            ServerError: ``error``, where asking again is of no use, or not in time.
        """
        seconds = self._seconds(error, place, states)
        remaining = self.remaining()
        if seconds is None or (remaining is not None and seconds >= remaining):
            raise error
        return seconds

    def _seconds(self, error: ServerError, place: int, states: Sequence[ChannelConnectivity]) -> float | None:
        if isinstance(error, OverloadedError):
            self._refusals += 1
            if self._refusals > self._retry.when_full:
                return None
            return self._retry.pause(self._refusals) if error.retry_after is None else error.retry_after
        if not isinstance(error, UnavailableError) or len(states) == 1:
            return None  # what gRPC itself was told to ask again, it has
        self.tried.add(place)
        if untried(states, self.tried):
            return 0.0
        self._rounds += 1
        self.tried.clear()
        return None if self._rounds >= self._retry.attempts else self._retry.pause(self._rounds)
