"""Fuzzes one target in a process of its own: what crashes it, hangs it or eats memory ends nothing else.

``python -m tests.fuzz.child TARGET SECONDS SEED FILE``: every example is written to FILE before it is tried.
At the end a line of JSON says what came of them. The exit status is 1 after a fault and the signal's after a
crash; a hang is ended by an alarm.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from boxmask_core.engines import HostEngines
from boxmask_core.warm_up import warm_up
from tests.fuzz.exploration import explore
from tests.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUND = 300
"""Examples of one seed; then the search starts elsewhere."""
SECONDS = 20
"""What one example may take; after that it hangs."""
MEMORY = 1 << 30
"""Bytes of address space that the examples may take, beyond what the process has before the first."""


def main(argv: Sequence[str]) -> int:
    """Fuzzes until the time is over or a fault is found.

    Args:
        argv: Target, seconds, seed and file, as above.
    """
    name, seconds, seed, file = argv[0], float(argv[1]), int(argv[2]), Path(argv[3])
    outcomes: Counter[str] = Counter()

    def before(example: object) -> None:
        file.write_text(repr(example), encoding="utf-8")
        signal.setitimer(signal.ITIMER_REAL, SECONDS)

    warm_up(HostEngines())  # the compiler's memory is not the examples'
    _limit_memory()
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            explore(
                TARGETS[name],
                examples=ROUND,
                seed=seed,
                before=before,
                after=lambda told: outcomes.update((told,)),
            )
            seed += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        sys.stdout.write(json.dumps({"outcomes": outcomes, "peak": peak}))
    return 0


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + MEMORY,) * 2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
