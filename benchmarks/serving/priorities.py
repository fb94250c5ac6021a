"""What somebody who waits for an answer notices of a bulk stream."""

from __future__ import annotations

import itertools
import multiprocessing
import time
from typing import TYPE_CHECKING

from benchmarks.load.drive import drive_apart
from benchmarks.load.payloads import MAKERS
from benchmarks.load.plan import Plan
from benchmarks.load.schedule import poisson
from benchmarks.load.summary import summarize
from boxmask_client import Client, Question
from demo.run import running_server

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.sharedctypes import Synchronized
    from multiprocessing.synchronize import Event

    from benchmarks.publish import Value
    from boxmask_core.bundle import Bundle
    from boxmask_core.instances import ImageRecord

RATE = 2.0
"""Interactive requests a second."""
SETTLE = 2.0
"""Seconds until a stream that has just begun saturates the server."""


def priorities(
    records: Sequence[ImageRecord], bundle: Bundle, *, seconds: float
) -> tuple[list[dict[str, Value]], dict[str, float]]:
    """Asks now and then, first of an idle server and then beside a stream that keeps it busy.

    Returns:
        Rows, and the ratio of the two p99.
    """
    calls = MAKERS["pseudo-label"](records, bundle)
    context = multiprocessing.get_context("spawn")
    rows: list[dict[str, Value]] = []
    p99 = {}
    with running_server(bundle.root) as server:
        plan = Plan(server.address, calls, poisson(RATE, seconds, seed=0), timeout=120, warm_up=16)
        for load in ("idle", "bulk stream"):
            stop, answered = context.Event(), context.Value("i", 0)
            stream = context.Process(target=bulk, args=(server.address, list(records), stop, answered))
            if load != "idle":
                stream.start()
                time.sleep(SETTLE)
            told = summarize(plan, drive_apart(plan))
            if load != "idle":
                stop.set()
                stream.join()
            if told.refusals:
                raise RuntimeError(f"the server refused: {told.refusals}")
            rows.append({"beside": load, **told.row(), "bulk answers": answered.value})
            p99[load] = told.p99
    return rows, {"interactive_p99": p99["bulk stream"] / p99["idle"]}


def bulk(address: str, records: list[ImageRecord], stop: Event, answered: Synchronized[int]) -> None:
    """Streams the images again and again until it is told to stop."""
    with Client(address) as client:
        cycle = itertools.takewhile(lambda _: not stop.is_set(), itertools.cycle(records))
        questions = ((record.key, Question(record.path, record.instances)) for record in cycle)
        for _ in client.stream_pseudo_label(questions, window=16):
            answered.value += 1
