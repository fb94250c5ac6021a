"""When the requests of an open loop are due."""

from __future__ import annotations

import random
from itertools import accumulate, takewhile
from typing import TYPE_CHECKING

from benchmarks.load.plan import OpenLoop

if TYPE_CHECKING:
    from collections.abc import Iterator


def constant(rate: float, seconds: float) -> OpenLoop:
    """Spaces requests evenly.

    Args:
        rate: Requests a second.
        seconds: Length of the schedule.
    """
    return OpenLoop(tuple(index / rate for index in range(round(rate * seconds))), seconds)


def poisson(rate: float, seconds: float, *, seed: int) -> OpenLoop:
    """Sends as callers do who know nothing of each other: with exponential gaps.

    Args:
        rate: Mean number of requests a second.
        seconds: Length of the schedule.
        seed: The same seed gives the same times.
    """
    times = takewhile(lambda time: time < seconds, accumulate(_gaps(rate, seed)))
    return OpenLoop(tuple(times), seconds)


def _gaps(rate: float, seed: int) -> Iterator[float]:
    rng = random.Random(seed)
    while True:
        yield rng.expovariate(rate)
