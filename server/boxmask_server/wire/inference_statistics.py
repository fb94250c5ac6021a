"""Counts for ModelStatistics: what each model has done through the Open Inference Protocol."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from boxmask.inference import model_statistics_pb2 as pb
from boxmask_server.work.host_steps import since

if TYPE_CHECKING:
    from collections.abc import Iterator


class ModelKey(NamedTuple):
    """One network of one version of a bundle.

    Attributes:
        bundle: The bundle.
        version: Its version.
        network: The network.
    """

    bundle: str
    version: str
    network: str


@dataclass(slots=True)
class Work:
    """Where the work of one request went.

    Attributes:
        items: Items that it held.
        input_ms: Milliseconds of reading its tensors.
        infer_ms: Milliseconds of the network's work.
        output_ms: Milliseconds of writing its tensors.
        total_ms: Milliseconds from its arrival to its answer.
    """

    items: int = 0
    input_ms: float = 0.0
    infer_ms: float = 0.0
    output_ms: float = 0.0
    total_ms: float = 0.0

    @property
    def queue_ms(self) -> float:
        """Milliseconds that nothing was done for it."""
        # What is worked on side by side adds up to more than it takes.
        return max(self.total_ms - self.input_ms - self.infer_ms - self.output_ms, 0.0)


@dataclass(slots=True)
class _Sum:
    count: int = 0
    milliseconds: float = 0.0

    def add(self, milliseconds: float) -> None:
        self.count += 1
        self.milliseconds += milliseconds

    def message(self) -> pb.StatisticDuration:
        return pb.StatisticDuration(count=self.count, ns=round(self.milliseconds * 1e6))


@dataclass(slots=True)
class _Counts:
    last_inference_ms: int = 0
    items: int = 0
    success: _Sum = field(default_factory=_Sum)
    fail: _Sum = field(default_factory=_Sum)
    queue: _Sum = field(default_factory=_Sum)
    compute_input: _Sum = field(default_factory=_Sum)
    compute_infer: _Sum = field(default_factory=_Sum)
    compute_output: _Sum = field(default_factory=_Sum)


class InferenceStatistics:
    """Counts. Used in the event loop alone."""

    def __init__(self) -> None:
        self._counts: dict[ModelKey, _Counts] = {}

    @contextlib.contextmanager
    def request(self, key: ModelKey) -> Iterator[Work]:
        """Counts one request, which the block answers; the block fills in where the work went.

        A request that is cancelled is not counted.
        """
        counts = self._counts.setdefault(key, _Counts())
        start = perf_counter()
        work = Work()
        try:
            yield work
        except Exception:
            counts.fail.add(since(start))
            raise
        work.total_ms = since(start)
        counts.last_inference_ms = time.time_ns() // 1_000_000
        counts.items += work.items
        counts.success.add(work.total_ms)
        counts.queue.add(work.queue_ms)
        counts.compute_input.add(work.input_ms)
        counts.compute_infer.add(work.infer_ms)
        counts.compute_output.add(work.output_ms)

    def of(self, key: ModelKey, name: str) -> pb.ModelStatistics:
        """Writes what a model has done.

        Args:
            key: The model.
            name: What the caller calls it.
        """
        counts = self._counts.get(key, _Counts())
        return pb.ModelStatistics(
            name=name,
            version=key.version,
            last_inference=counts.last_inference_ms,
            inference_count=counts.items,
            execution_count=counts.items,
            inference_stats=pb.InferStatistics(
                success=counts.success.message(),
                fail=counts.fail.message(),
                queue=counts.queue.message(),
                compute_input=counts.compute_input.message(),
                compute_infer=counts.compute_infer.message(),
                compute_output=counts.compute_output.message(),
                cache_hit=pb.StatisticDuration(),
                cache_miss=pb.StatisticDuration(),
            ),
        )

    def forget_all_but(self, held: set[ModelKey]) -> None:
        """Drops the counts of models that are held no longer, so that reloading for years takes no memory."""
        self._counts = {key: counts for key, counts in self._counts.items() if key in held}
