"""Where the work of a run goes, stage by stage: what a user who wants more speed has to look at."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from boxmask_client import Timings


class StageTimes:
    """Milliseconds of work in each stage, all images together, without waiting; stages run side by side."""

    def __init__(self) -> None:
        self._milliseconds: defaultdict[str, float] = defaultdict(float)

    def add(self, times: Timings) -> None:
        """Adds what one answer took."""
        for stage, milliseconds in (
            ("decode", times.decode_ms),
            ("crop", times.crop_ms),
            ("network", times.inference_ms),
            ("refine", times.refine_ms),
            ("encode", times.encode_ms),
        ):
            self._milliseconds[stage] += milliseconds

    def add_milliseconds(self, stage: str, milliseconds: float) -> None:
        """Adds what was measured elsewhere."""
        self._milliseconds[stage] += milliseconds

    @contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        """Adds what the block takes."""
        start = perf_counter()
        try:
            yield
        finally:
            self.add_milliseconds(stage, (perf_counter() - start) * 1e3)

    def totals(self) -> dict[str, float]:
        """Returns the milliseconds of each stage."""
        return {stage: round(total, 1) for stage, total in self._milliseconds.items()}

    def busy(self, seconds: float) -> dict[str, float]:
        """Returns how many threads were at work in each stage on average, the busiest stage first.

        Args:
            seconds: From the first image to the last.
        """
        by_time = sorted(self._milliseconds.items(), key=lambda item: -item[1])
        return {stage: round(total / 1e3 / seconds, 3) for stage, total in by_time if seconds > 0}


def told(busy: Mapping[str, float]) -> str:
    """Returns a line on what limits the speed, or nothing where nothing was done.

    Args:
        busy: What `StageTimes.busy` gave.
    """
    stages = ", ".join(f"{stage} {threads:.2f}" for stage, threads in busy.items())
    return f"busy    {stages} (threads at work, mean; the first limits the speed)\n" if busy else ""
