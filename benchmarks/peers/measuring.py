"""How fast a server answers, and whether it answers right."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from benchmarks.load.drive import drive_apart
from benchmarks.load.plan import ClosedLoop, Plan
from benchmarks.load.schedule import poisson
from benchmarks.load.summary import summarize
from benchmarks.peers.asking import ask_together
from benchmarks.peers.workloads import BATCH, TOLERANCE

if TYPE_CHECKING:
    from benchmarks.load.plan import OpenLoop
    from benchmarks.load.summary import Summary
    from benchmarks.peers.site import Site
    from benchmarks.peers.workloads import Workload

CALLERS: Final = 8
TIMEOUT: Final = 60.0


class WrongAnswerError(Exception):
    """A server answers something else than ONNX Runtime alone.

    Args:
        problem: What it answers, on one line.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


def throughput(site: Site, peer: str, workload: Workload, seconds: float) -> Summary:
    """Measures with callers who each wait for their answer; all servers get as many requests.

    Args:
        site: Where.
        peer: The server.
        workload: The requests.
        seconds: How long ONNX Runtime alone would take for them.

    Raises:
        UnavailableError: The server cannot be run.
        WrongAnswerError: It answers something else than ONNX Runtime alone.
    """
    return _measured(site, peer, workload, ClosedLoop(CALLERS, requests=workload.requests(seconds)))


def latency(site: Site, peer: str, workload: Workload, rate: float, seconds: float, seed: int) -> Summary:
    """Measures with requests that are sent when they are due: the same times for all servers.

    Args:
        site: Where.
        peer: The server.
        workload: The requests.
        rate: Requests a second.
        seconds: How long they are sent; longer if that is too short for all of them once.
        seed: Of the times.

    Raises:
        UnavailableError: The server cannot be run.
        WrongAnswerError: It answers something else than ONNX Runtime alone.
    """
    once = len(workload.calls) / rate
    return _measured(site, peer, workload, poisson(rate, max(seconds, once), seed=seed))


def _measured(site: Site, peer: str, workload: Workload, load: OpenLoop | ClosedLoop) -> Summary:
    with site.serving(peer, workload) as address:
        _check(address, workload)
        plan = Plan(address, workload.calls, load, TIMEOUT, warm_up=CALLERS)
        return summarize(plan, drive_apart(plan))


def _check(address: str, workload: Workload) -> None:
    """Asks everything once, as many at once as a batch holds, and compares. It is the warm-up too."""
    for start in range(0, len(workload.calls), BATCH):
        calls = workload.calls[start : start + BATCH]
        for index, reply in enumerate(asyncio.run(ask_together(address, calls, TIMEOUT)), start):
            if not reply.answered:
                raise WrongAnswerError(f"request {index} of {workload.name!r}: {reply.code}")
            if (difference := workload.difference(index, reply.payload)) >= TOLERANCE:
                raise WrongAnswerError(f"request {index} of {workload.name!r} differs by {difference:.2g}")
