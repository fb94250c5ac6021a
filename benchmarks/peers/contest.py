"""All servers in turn, several times."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.peers.measuring import WrongAnswerError, latency, throughput
from benchmarks.peers.processes import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.load.summary import Summary
    from benchmarks.peers.site import Site
    from benchmarks.peers.workloads import Workload
    from benchmarks.publish import Value

SHARE: Final = 0.7
"""Of the slowest server's throughput: the rate at which latency is measured."""
COLUMNS: Final = (
    "answered/s, 8 callers",
    "at requests/s",
    "p50, ms",
    "p99, ms",
    "refused",
    "client late p99, ms",
    "client cores",
    "result",
)


@dataclass(frozen=True, slots=True)
class Medians:
    """What a server does with a workload, as medians over the repeats.

    Attributes:
        throughput: Answers a second to callers who wait for them.
        p50: Median latency at the common rate, seconds.
        p99: What a hundredth of the latencies exceeds, seconds.
        late: How late the client itself was, seconds, exceeded by a hundredth of the requests.
        client_cores: Cores that the client took while throughput was measured.
        refused: Requests that were not answered, of all repeats.
    """

    throughput: float
    p50: float
    p99: float
    late: float
    client_cores: float
    refused: int


@dataclass(slots=True)
class Contest:
    """The servers, what they are asked, and what was measured.

    Attributes:
        site: Where the servers are run.
        peers: Their names.
        workloads: What they are asked.
        repeats: How often everything is measured.
        missing: Why a server could not be run.
        wrong: What a server answered wrong; it is measured no further.
    """

    site: Site
    peers: Sequence[str]
    workloads: Sequence[Workload]
    repeats: int
    missing: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    _throughputs: defaultdict[tuple[str, str], list[Summary]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _latencies: defaultdict[tuple[str, str], list[Summary]] = field(default_factory=lambda: defaultdict(list))

    def measure(self, seconds: float) -> None:
        """Measures throughput, then latency at the rate that follows from it.

        Args:
            seconds: Of one measurement, about.
        """
        for _, workload, peer in self._turns():
            with self._attempt(peer):
                found = throughput(self.site, peer, workload, seconds)
                self._throughputs[workload.name, peer].append(found)
        for turn, workload, peer in self._turns():
            with self._attempt(peer):
                found = latency(self.site, peer, workload, self.rate(workload), seconds, turn)
                self._latencies[workload.name, peer].append(found)

    def rate(self, workload: Workload) -> float:
        """Returns the requests a second at which latency is measured."""
        found = [self._throughputs[workload.name, peer] for peer in self._fit()]
        return SHARE * min(median(each.goodput for each in summaries) for summaries in found)

    def medians(self, workload: Workload, peer: str) -> Medians | None:
        """Returns what was measured of a server, or None if it could not be."""
        if peer not in self._fit():
            return None
        closed, open_ = self._throughputs[workload.name, peer], self._latencies[workload.name, peer]
        refusals = [refusal for each in (*closed, *open_) for refusal in each.refusals.values()]
        return Medians(
            throughput=median(each.goodput for each in closed),
            p50=median(each.p50 for each in open_),
            p99=median(each.p99 for each in open_),
            late=median(each.lag for each in open_),
            client_cores=median(each.client_cores for each in closed),
            refused=sum(refusal.count for refusal in refusals),
        )

    def rows(self) -> list[dict[str, Value]]:
        """Returns the table: a row for every workload and server, those that could not be run included."""
        return [self._row(workload, peer) for workload in self.workloads for peer in self.peers]

    def _row(self, workload: Workload, peer: str) -> dict[str, Value]:
        found = self.medians(workload, peer)
        if found is None:
            why = self.missing.get(peer) or f"wrong answers: {self.wrong[peer]}"
            columns: tuple[Value, ...] = ("", "", "", "", "", "", "", why)
        else:
            columns = (
                found.throughput,
                self.rate(workload),
                1e3 * found.p50,
                1e3 * found.p99,
                found.refused,
                1e3 * found.late,
                found.client_cores,
                "measured",
            )
        return {"requests": workload.name, "server": peer} | dict(zip(COLUMNS, columns, strict=True))

    def _turns(self) -> Iterator[tuple[int, Workload, str]]:
        """Yields every measurement: in each turn all servers, every other time from the last to the first."""
        for turn in range(self.repeats):
            for workload in self.workloads:
                for peer in self.peers[:: 1 if turn % 2 == 0 else -1]:
                    if peer in self._fit():
                        yield turn, workload, peer

    def _fit(self) -> list[str]:
        return [peer for peer in self.peers if peer not in self.missing and peer not in self.wrong]

    @contextmanager
    def _attempt(self, peer: str) -> Iterator[None]:
        try:
            yield
        except UnavailableError as error:
            self.missing[peer] = error.reason
        except WrongAnswerError as error:
            self.wrong[peer] = error.problem
