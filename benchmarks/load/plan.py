"""What is sent to a server, and how."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """One unary request, ready for the wire.

    Attributes:
        method: ``/package.Service/Method``.
        payload: The serialized request.
    """

    method: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Requests that are sent when they are due, answered or not: what a crowd of users does.

    Attributes:
        times: When, seconds from the beginning, ascending.
        seconds: Length of the schedule.
    """

    times: tuple[float, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """Callers who each wait for an answer before they ask again: what finds a server's capacity.

    Attributes:
        callers: How many.
        seconds: They ask no more after this time.
        requests: They ask no more after this many, all together.
    """

    callers: int
    seconds: float = math.inf
    requests: int = sys.maxsize


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of the load generator.

    Attributes:
        address: The server, ``HOST:PORT`` or ``unix:PATH``.
        calls: What is asked, in this order and then from the first again.
        load: When it is asked.
        timeout: Deadline of one request, seconds.
        warm_up: Requests that are made one after the other beforehand and count for nothing.
    """

    address: str
    calls: tuple[Call, ...]
    load: OpenLoop | ClosedLoop
    timeout: float = 30.0
    warm_up: int = 1
