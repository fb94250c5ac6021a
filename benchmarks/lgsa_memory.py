"""Peak memory and time of the affinity loss, dense against linear, forward and backward.

    python -m benchmarks.lgsa_memory

Every measurement is a process of its own; the two implementations take turns. Memory is what the process
grows by from inputs that are there to gradients that are: the kernel's own peak, so that no allocator can
hide any.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.publish import publish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.publish import Value

SIDES = (41, 65, 97, 129)
KINDS = ("dense", "linear")
CHANNELS = 256
CLASSES = 3
MIB = 1 << 20


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark.

    Args:
        argv: Arguments.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lgsa_memory", description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES, help="sides of the square grid")
    parser.add_argument("--repeats", type=int, default=3, help="processes per measurement")
    parser.add_argument("--one", nargs=2, metavar=("KIND", "SIDE"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one:
        kind, side = options.one
        sys.stdout.write(json.dumps(measured(kind, int(side))) + "\n")
        return 0
    rows: list[dict[str, Value]] = []
    ratios: dict[str, float] = {}
    for side in options.sides:
        found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
        for _ in range(options.repeats):
            for kind in KINDS:
                found[kind].append(in_a_process(kind, side))
        memory = {kind: median(peak for peak, _ in found[kind]) for kind in KINDS}
        seconds = {kind: median(time for _, time in found[kind]) for kind in KINDS}
        ratios[f"memory_{side}"] = memory["dense"] / memory["linear"]
        ratios[f"time_{side}"] = seconds["dense"] / seconds["linear"]
        rows.append(
            {
                "N": f"{side}^2",
                "dense, MiB": memory["dense"] / MIB,
                "linear, MiB": memory["linear"] / MIB,
                "memory, dense / linear": ratios[f"memory_{side}"],
                "dense, s": seconds["dense"],
                "linear, s": seconds["linear"],
                "time, dense / linear": ratios[f"time_{side}"],
            }
        )
    publish("lgsa_memory", rows, ratios)
    return 0


def in_a_process(kind: str, side: int) -> tuple[float, float]:
    """Returns peak bytes and seconds of one implementation, measured in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.lgsa_memory", "--one", kind, str(side)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    peak, seconds = json.loads(out)
    return float(peak), float(seconds)


def measured(kind: str, side: int) -> tuple[int, float]:
    """Measures this process: bytes that one forward and backward pass adds, and its seconds.

    Args:
        kind: ``dense`` or ``linear``.
        side: Side of the square grid.

    Returns:
        Peak of the first pass above what the process held before it; median seconds of those after it.
    """
    import torch

    from boxmask_training.affinity_loss import affinity_loss, dense_affinity_loss

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    loss = dense_affinity_loss if kind == "dense" else affinity_loss
    generator = torch.Generator().manual_seed(0)

    def inputs(positions: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        theta, phi = (torch.randn(1, CHANNELS, positions, generator=generator) / 16 for _ in range(2))
        labels = torch.randint(0, CLASSES, (1, positions), generator=generator, dtype=torch.uint8)
        return theta.requires_grad_(), phi.requires_grad_(), labels

    def run(tensors: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
        torch.autograd.grad(loss(*tensors), tensors[:2])

    run(inputs(16))  # what the first call of all loads is no part of the measurement
    tensors = inputs(side * side)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    before = _status("VmRSS")
    run(tensors)
    peak = _status("VmHWM") - before
    times = []
    for _ in range(max(1, 5 * 41**2 // side**2)):
        started_at = time.perf_counter()
        run(tensors)
        times.append(time.perf_counter() - started_at)
    return peak, median(times)


def _status(field: str) -> int:
    """Returns a memory figure of this process in bytes (Linux)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no field {field}")


if __name__ == "__main__":
    sys.exit(main())
