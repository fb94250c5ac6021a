"""What becomes of a server that is asked for twice of what it can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.load.drive import drive_apart
from benchmarks.load.payloads import MAKERS
from benchmarks.load.plan import ClosedLoop, Plan
from benchmarks.load.schedule import poisson
from benchmarks.load.summary import summarize
from demo.run import running_server

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.publish import Value
    from boxmask_core.bundle import Bundle
    from boxmask_core.instances import ImageRecord

QUEUE = 32
CALLERS = 16


def overload(
    records: Sequence[ImageRecord], bundle: Bundle, *, seconds: float
) -> tuple[list[dict[str, Value]], dict[str, float]]:
    """Finds the capacity in a closed loop before and after, and offers twice as much in an open one between.

    Returns:
        Rows, and the ratios: goodput over capacity; the median refusal in seconds; the accepted p99 over the
        longest that the queue allows, its length divided by the capacity.
    """
    calls = MAKERS["pseudo-label"](records, bundle)
    rows: list[dict[str, Value]] = []
    with running_server(bundle.root, "--queue", str(QUEUE)) as server:

        def closed() -> float:
            plan = Plan(server.address, calls, ClosedLoop(CALLERS, seconds), timeout=120, warm_up=16)
            told = summarize(plan, drive_apart(plan))
            rows.append({"load": f"{CALLERS} callers", **told.row()})
            return told.goodput

        before = closed()
        plan = Plan(server.address, calls, poisson(2 * before, seconds, seed=0), timeout=120, warm_up=4)
        told = summarize(plan, drive_apart(plan))
        rows.append({"load": "twice the capacity", **told.row()})
        capacity = (before + closed()) / 2
    refusals = told.refusals.get("RESOURCE_EXHAUSTED")
    if refusals is None or set(told.refusals) != {"RESOURCE_EXHAUSTED"}:
        raise RuntimeError(f"expected refusals for a full queue and no others, but got {told.refusals}")
    return rows, {
        "overload_goodput": told.goodput / capacity,
        "overload_refusal_seconds": refusals.median,
        "overload_p99_over_bound": told.p99 / (QUEUE / capacity),
    }
