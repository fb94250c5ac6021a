"""How many calls each caller may have: at once, and begun in a second."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from boxmask_core.errors import TooManyCallsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from boxmask_server.operation.tokens import Caller


class Allowances:
    """Counts the calls that are open. It outlives a reload of the tokens: counts go by name.

    Args:
        concurrent_calls: Calls at once, of all callers.
        clock: Tells the time, seconds.
    """

    def __init__(self, concurrent_calls: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._concurrent_calls = concurrent_calls
        self._clock = clock
        self._open = Counter[str]()
        self._all_open = 0
        self._credit: dict[str, tuple[float, float]] = {}

    @contextmanager
    def call(self, caller: Caller | None) -> Iterator[None]:
        """Counts a call while the block runs.

        Args:
            caller: Whose call it is; None where the server asks for no tokens.

        Raises:
            TooManyCallsError: The caller, or all callers together, have as many as they may.
        """
        if self._all_open >= self._concurrent_calls:
            raise TooManyCallsError(
                "all callers together", f"{self._concurrent_calls} calls at once", "--concurrent-calls"
            )
        if caller is not None:
            self._check(caller)
        name = "" if caller is None else caller.name
        self._all_open += 1
        self._open[name] += 1
        try:
            yield
        finally:
            self._all_open -= 1
            self._open[name] -= 1

    @property
    def calls(self) -> int:
        """The calls that are open."""
        return self._all_open

    def _check(self, caller: Caller) -> None:
        if caller.calls is not None and self._open[caller.name] >= caller.calls:
            raise TooManyCallsError(
                repr(caller.name), f"{caller.calls} calls at once", f"calls={caller.calls} of its token"
            )
        if caller.rate is not None:
            self._spend(caller.name, caller.rate)

    def _spend(self, name: str, rate: int) -> None:
        """Takes one call from a credit that grows by the rate and holds one second of it at most."""
        now = self._clock()
        credit, then = self._credit.get(name, (float(rate), now))
        credit = min(credit + (now - then) * rate, float(rate))
        if credit < 1:
            self._credit[name] = credit, now
            raise TooManyCallsError(
                repr(name), f"{rate} new calls a second", f"rate={rate} of its token", (1 - credit) / rate
            )
        self._credit[name] = credit - 1, now
