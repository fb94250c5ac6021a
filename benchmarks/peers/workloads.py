"""What every server is asked, and what ONNX Runtime alone answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.load.inference import answered_tensors, tensors_of
from benchmarks.load.payloads import cfs_calls, lgsa_calls, lgsa_fixed_calls
from benchmarks.peers.network import Served, open_session
from boxmask_core.bundle import CFS, LGSA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from benchmarks.load.plan import Call
    from boxmask_core.bundle import Bundle
    from boxmask_core.instances import ImageRecord

TOLERANCE: Final = 1e-4
"""Largest absolute difference from ONNX Runtime alone that counts as the same answer."""
BATCH: Final = 8
"""Requests that a peer's batcher may join, as many as there are callers."""


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """Requests to one network.

    Attributes:
        name: What the table calls it.
        network: The network's name.
        file: Its ONNX file.
        one_shape: Whether all requests have the same shape.
        calls: The requests.
        expected: What ONNX Runtime alone answers each.
        seconds: What ONNX Runtime alone takes for all of them, one after the other.
    """

    name: str
    network: str
    file: str
    one_shape: bool
    calls: tuple[Call, ...]
    expected: tuple[Mapping[str, NDArray[np.generic]], ...]
    seconds: float

    def served_by(self, peer: str) -> Served:
        """Returns how a peer serves the network, with a batcher where one can be used.

        MLServer's joins whatever comes, and images of two sizes end in errors: it batches one shape only.
        """
        batches = self.one_shape or peer != "mlserver"
        return Served(self.network, self.file, BATCH if batches else 1)

    def requests(self, seconds: float) -> int:
        """Returns a number of requests: all of them, as often as ONNX Runtime alone does in that time."""
        return len(self.calls) * max(math.ceil(seconds / self.seconds), 1)

    def difference(self, index: int, answer: bytes) -> float:
        """Returns how far an answer is from the expected one; infinity if it is of another kind.

        Args:
            index: The request.
            answer: The serialized answer.
        """
        found, expected = answered_tensors(answer), self.expected[index]
        if found.keys() != expected.keys():
            return math.inf
        return max(_difference(found[name], expected[name]) for name in expected)


def workloads(
    records: Sequence[ImageRecord], bundle: Bundle, threads: int, limit: int
) -> tuple[Workload, ...]:
    """Makes the segmentation network's size mix, its one size, and the crops of the other network.

    Args:
        records: Images and boxes.
        bundle: Holds both networks.
        threads: Threads of one run.
        limit: Most requests of each.
    """
    kinds: tuple[tuple[str, str, bool, Callable[..., tuple[Call, ...]]], ...] = (
        ("mix", LGSA, False, lgsa_calls),
        ("fixed", LGSA, True, lgsa_fixed_calls),
        ("cfs", CFS, True, cfs_calls),
    )
    out = []
    for name, network, one_shape, calls_of in kinds:
        file = str(bundle.network(network).file.resolve())
        session = open_session(file, threads)
        outputs = [node.name for node in session.get_outputs()]
        calls = calls_of(records, bundle)[:limit]
        feeds = [tensors_of(call)[1] for call in calls]
        session.run(outputs, feeds[0])
        start = perf_counter()
        answers = [session.run(outputs, feed) for feed in feeds]
        seconds = perf_counter() - start
        expected = tuple(dict(zip(outputs, answer, strict=True)) for answer in answers)
        out.append(Workload(name, network, file, one_shape, calls, expected, seconds))
    return tuple(out)


def _difference(found: NDArray[np.generic], expected: NDArray[np.generic]) -> float:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return math.inf
    return float(np.abs(found.astype(np.float64) - expected.astype(np.float64)).max())
