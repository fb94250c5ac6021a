"""How fast a dataset is converted: in-process, through gRPC, and by a plain sequential script.

``python -m benchmarks.convert --data VOC2012 --split val [--bundle DIR] [--limit 60] [--repeats 3]``

The peer is `benchmarks.eager`: PyTorch eager, whole-image GrabCut, one box at a time. All three run in
turn, several times, and the ratios are of the medians. The stages alone follow: each is run over the same
images by itself, with the workers that it has in the pipeline, so the slowest one bounds the whole.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import torch

from benchmarks.eager import eager_cfs, sequential_conversion
from benchmarks.publish import publish
from benchmarks.stages import stage_seconds
from boxmask_convert.command import main as convert
from boxmask_core.bundle import CFS, Bundle, starter_path
from boxmask_core.formats import open_dataset
from boxmask_core.instances import ImageRecord
from demo.run import running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(argv: Sequence[str]) -> int:
    """Runs the benchmark.

    Args:
        argv: Command-line arguments.
    """
    arguments = parser().parse_args(argv)
    bundle_path = arguments.bundle or starter_path()
    bundle = Bundle.load(bundle_path)
    dataset = open_dataset(arguments.data, split=arguments.split)
    records = [record for record in dataset if isinstance(record, ImageRecord)][: arguments.limit]
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    network = eager_cfs(bundle)
    size = bundle.network(CFS).fixed_side()
    common = [str(arguments.data), "--to", "voc", "--limit", str(arguments.limit), "--no-report"]
    if arguments.split:
        common += ["--split", arguments.split]

    with tempfile.TemporaryDirectory() as folder, running_server(bundle_path) as address:
        scratch = Path(folder)
        ways: dict[str, Callable[[int], object]] = {
            "in-process": lambda turn: silent(
                [*common, "--bundle", str(bundle_path), str(scratch / f"local-{turn}")]
            ),
            "gRPC": lambda turn: silent([*common, "--server", address, str(scratch / f"remote-{turn}")]),
            "sequential": lambda turn: sequential_conversion(
                dataset, arguments.limit, network, size, scratch / f"eager-{turn}"
            ),
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(arguments.repeats):
            for way, run in ways.items():
                start = perf_counter()
                run(turn)
                seconds[way].append(perf_counter() - start)
    stages = stage_seconds(records, bundle)
    median = {way: statistics.median(times) for way, times in seconds.items()}
    slowest = max(stages, key=lambda stage: stages[stage])
    rows: list[dict[str, str | int | float]] = [
        {"what": way, "seconds": median[way], "images/s": len(records) / median[way]} for way in median
    ]
    rows += [
        {"what": f"stage {stage}{' (slowest)' if stage == slowest else ''}", "seconds": time,
         "images/s": len(records) / time}
        for stage, time in stages.items()
    ]  # fmt: skip
    publish(
        "convert",
        rows,
        {
            "gain_over_sequential": median["sequential"] / median["in-process"],
            "gain_over_sequential_grpc": median["sequential"] / median["gRPC"],
            "grpc_over_in_process": median["gRPC"] / median["in-process"],
            "efficiency": stages[slowest] / median["in-process"],
        },
    )
    return 0


def parser() -> argparse.ArgumentParser:
    """Builds the command line."""
    out = argparse.ArgumentParser(prog="python -m benchmarks.convert", description=__doc__)
    out.add_argument("--data", type=Path, required=True, help="dataset with boxes")
    out.add_argument("--split", help="image set of the dataset")
    out.add_argument("--bundle", type=Path, help="bundle; default: the starter")
    out.add_argument("--limit", type=int, default=60, help="images")
    out.add_argument("--repeats", type=int, default=3, help="turns of which the median is taken")
    return out


def silent(arguments: list[str]) -> None:
    """Runs ``boxmask convert`` without its output; any failure ends the benchmark."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        status = convert(arguments)
    if status:
        raise SystemExit(f"boxmask convert {' '.join(arguments)} ended with {status}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
