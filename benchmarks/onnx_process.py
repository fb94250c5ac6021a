"""One graph, run once in a process of its own: what it takes of memory and of time.

``python -m benchmarks.onnx_process GRAPH SIDE`` prints a line of JSON. It imports no more than it runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import onnxruntime


@dataclass(frozen=True, slots=True)
class Usage:
    """What one run took.

    Attributes:
        peak: Largest resident memory of the whole process, bytes.
        seconds: Time of the run.
    """

    peak: int
    seconds: float


def measure(graph: Path, side: int) -> Usage:
    """Runs a segmentation graph on one square image in a fresh process, on the CPU.

    Args:
        graph: Its ONNX file.
        side: Side of the image, pixels.

    Raises:
        subprocess.CalledProcessError: The process failed.
    """
    command = [sys.executable, "-m", "benchmarks.onnx_process", str(graph), str(side)]
    root = Path(__file__).resolve().parents[1]
    printed = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Usage(**json.loads(printed))


def run(graph: str, side: int) -> Usage:
    """Runs a graph in this process."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    start = perf_counter()
    session.run(["scores"], {"image": image})
    seconds = perf_counter() - start
    return Usage(peak_memory(), seconds)


def peak_memory() -> int:
    """Returns the largest resident memory that this process has had, bytes.

    It is read from Linux itself: ``getrusage`` goes on counting from the process that started this one.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    used = run(sys.argv[1], int(sys.argv[2]))
    sys.stdout.write(json.dumps({"peak": used.peak, "seconds": used.seconds}) + "\n")
