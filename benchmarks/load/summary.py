"""What a load says of a server."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.load.drive import ANSWERED
from benchmarks.load.plan import OpenLoop

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.load.drive import Outcome
    from benchmarks.load.plan import Plan
    from benchmarks.publish import Value


@dataclass(frozen=True, slots=True)
class Refusals:
    """Requests that were answered with one error.

    Attributes:
        count: How many.
        median: Their median latency, seconds from when they were due.
    """

    count: int
    median: float


@dataclass(frozen=True, slots=True)
class Summary:
    """One load in numbers. Latencies are seconds from when a request was due, of requests answered with OK.

    Attributes:
        offered: Requests a second that were due; in a closed loop, that were sent.
        goodput: Answers with OK a second, until the last answer.
        p50: Median latency; NaN, as those below, where nothing was answered.
        p90: Latency that a tenth of the requests exceeds.
        p99: Latency that a hundredth exceeds.
        most: The longest.
        refusals: Requests that were not answered with OK, by gRPC code.
        lag: How late the client itself sent, seconds, exceeded by a hundredth of the requests.
        client_cores: Processor cores that the client took.
    """

    offered: float
    goodput: float
    p50: float
    p90: float
    p99: float
    most: float
    refusals: Mapping[str, Refusals]
    lag: float
    client_cores: float

    def row(self) -> dict[str, Value]:
        """Returns the summary as a row of a benchmark's table."""
        return {
            "offered/s": self.offered,
            "answered/s": self.goodput,
            "p50, ms": _milliseconds(self.p50),
            "p90, ms": _milliseconds(self.p90),
            "p99, ms": _milliseconds(self.p99),
            "most, ms": _milliseconds(self.most),
            "refused": _told(self.refusals),
            "client late p99, ms": _milliseconds(self.lag),
            "client cores": self.client_cores,
        }


def summarize(plan: Plan, outcome: Outcome) -> Summary:
    """Summarizes what came of a plan."""
    accepted: list[float] = []
    refused: defaultdict[str, list[float]] = defaultdict(list)
    for exchange in outcome.exchanges:
        into = accepted if exchange.code == ANSWERED else refused[exchange.code]
        into.append(exchange.done - exchange.scheduled)
    p50, p90, p99, most = _quantiles(accepted, (0.5, 0.9, 0.99, 1))
    (lag,) = _quantiles([exchange.sent - exchange.scheduled for exchange in outcome.exchanges], (0.99,))
    due_in = plan.load.seconds if isinstance(plan.load, OpenLoop) else outcome.seconds
    return Summary(
        offered=len(outcome.exchanges) / due_in,
        goodput=len(accepted) / max(due_in, outcome.seconds),
        p50=p50,
        p90=p90,
        p99=p99,
        most=most,
        refusals={code: Refusals(len(all_), median(all_)) for code, all_ in sorted(refused.items())},
        lag=lag,
        client_cores=outcome.client_cpu / outcome.seconds,
    )


def _quantiles(values: Sequence[float], shares: Sequence[float]) -> list[float]:
    """Returns values that were measured, not means of two of them."""
    if not values:
        return [float("nan")] * len(shares)
    return [float(value) for value in np.quantile(values, shares, method="inverted_cdf")]


def _milliseconds(seconds: float) -> Value:
    """Returns a number for the table, or what JSON can hold where there is none."""
    return "none" if math.isnan(seconds) else 1e3 * seconds


def _told(refusals: Mapping[str, Refusals]) -> str:
    told = (f"{each.count} {code} in {1e3 * each.median:.3g} ms" for code, each in refusals.items())
    return ", ".join(told) or "none"
