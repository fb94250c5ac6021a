"""One bad request among eight: do the seven others get their answers?

All eight are sent at once to a server whose batcher waits long enough to join them. One of them goes away
while the batch runs, or is malformed. Every answer is compared with what ONNX Runtime alone says, so an
answer that belongs to another request counts as wrong.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Final

from benchmarks.load.plan import Call
from benchmarks.peers.asking import Departure, Reply, ask_together
from benchmarks.peers.processes import UnavailableError
from benchmarks.peers.workloads import BATCH, TOLERANCE
from boxmask.inference import open_inference_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from benchmarks.peers.site import Site
    from benchmarks.peers.workloads import Workload
    from benchmarks.publish import Value

PATIENCE: Final = 10.0
"""Seconds after which a request counts as never answered."""
DELAY: Final = 0.25
"""Seconds that a batcher waits for the eight to come together; a full batch runs at once."""
ROUNDS: Final = 4
"""In each another one of the eight is the bad one."""
UNANSWERED: Final = "DEADLINE_EXCEEDED"


@dataclass(slots=True)
class Damage:
    """What one fault did, over all rounds.

    Attributes:
        mates: What the other requests got: ``right``, ``wrong`` or the name of a gRPC code.
        bad: What the bad ones got.
        afterwards: What one good request got when all was over.
    """

    mates: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)
    afterwards: str = ""

    def row(self, server: str, fault: str) -> dict[str, Value]:
        """Returns a row of the table."""
        return {
            "server": server,
            "fault": fault,
            "mates answered": f"{self.mates['right']} of {self.mates.total()}",
            "mates without": _told({kind: n for kind, n in self.mates.items() if kind != "right"}),
            "the bad one": _told(self.bad),
            "afterwards": self.afterwards,
        }


def fault_rows(site: Site, peers: Sequence[str], workload: Workload) -> list[dict[str, Value]]:
    """Provokes every fault in every server, each in a fresh one.

    Args:
        site: Where the servers are run.
        peers: The servers.
        workload: Good requests, all of one shape.
    """
    rows: list[dict[str, Value]] = []
    for fault in FAULTS:
        for peer in peers:
            try:
                with site.serving(peer, workload, DELAY) as address:
                    rows.append(damage_of(fault, address, workload).row(peer, fault))
            except UnavailableError as error:
                blank: dict[str, Value] = dict.fromkeys(Damage().row(peer, fault), "")
                not_run: dict[str, Value] = {
                    "server": peer,
                    "fault": fault,
                    "mates answered": f"not run: {error.reason}",
                }
                rows.append(blank | not_run)
    return rows


def short(request: pb.ModelInferRequest) -> None:
    """Cuts the first tensor's bytes off in the middle."""
    raw = request.raw_input_contents[0]
    request.raw_input_contents[0] = raw[: len(raw) // 2]


def wrong_shape(request: pb.ModelInferRequest) -> None:
    """Gives the first tensor, an image, a fourth channel, and the bytes that it needs."""
    image = request.inputs[0]
    image.shape[-1] += 1
    request.raw_input_contents[0] = bytes(math.prod(image.shape))


def wrong_type(request: pb.ModelInferRequest) -> None:
    """Makes float32 of the first tensor, an image, with the bytes that it needs."""
    request.inputs[0].datatype = "FP32"
    request.raw_input_contents[0] = bytes(4 * len(request.raw_input_contents[0]))


POISONS: Final[Mapping[str, Callable[[pb.ModelInferRequest], None]]] = {
    "poison: too short": short,
    "poison: wrong shape": wrong_shape,
    "poison: wrong type": wrong_type,
}
CANCEL: Final = "cancel"
FAULTS: Final = (CANCEL, *POISONS)


def damage_of(fault: str, address: str, workload: Workload) -> Damage:
    """Provokes a fault, several times over.

    Args:
        fault: One of `FAULTS`.
        address: The server.
        workload: Good requests, all of one shape.
    """
    calls, damage = workload.calls[:BATCH], Damage()
    batch_seconds = _seconds_of_batch(address, calls)
    for bad, share in _rounds():
        asked, departure = list(calls), None
        if fault == CANCEL:
            departure = Departure(bad, share * batch_seconds)
        else:
            asked[bad] = _poisoned(calls[bad], POISONS[fault])
        replies = asyncio.run(ask_together(address, asked, PATIENCE, departure))
        damage.bad[replies.pop(bad).code] += 1
        mates = [index for index in range(BATCH) if index != bad]
        damage.mates.update(_verdict(workload, *each) for each in zip(mates, replies, strict=True))
    (last,) = asyncio.run(ask_together(address, calls[:1], PATIENCE))
    damage.afterwards = _verdict(workload, 0, last)
    return damage


def _rounds() -> Iterator[tuple[int, float]]:
    """Yields which request is the bad one, and after which share of the batch's time it goes away."""
    for number in range(ROUNDS):
        yield 3 * number % BATCH, (number + 1) / (ROUNDS + 1)


def _seconds_of_batch(address: str, calls: tuple[Call, ...]) -> float:
    """Returns how long the good requests take together, once they are warm."""
    seconds = 0.0
    for _ in range(3):
        start = perf_counter()
        asyncio.run(ask_together(address, calls, PATIENCE))
        seconds = perf_counter() - start
    return seconds


def _poisoned(call: Call, poison: Callable[[pb.ModelInferRequest], None]) -> Call:
    request = pb.ModelInferRequest.FromString(call.payload)
    poison(request)
    return Call(call.method, request.SerializeToString())


def _verdict(workload: Workload, index: int, reply: Reply) -> str:
    if not reply.answered:
        return reply.code
    return "right" if workload.difference(index, reply.payload) < TOLERANCE else "wrong"


def _told(counts: Mapping[str, int]) -> str:
    shown = {f"no answer in {PATIENCE:g} s" if kind == UNANSWERED else kind: n for kind, n in counts.items()}
    return ", ".join(f"{count} {kind}" for kind, count in shown.items()) or "none"
