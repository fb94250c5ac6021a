"""How fast a dataset is converted: in-process, through gRPC, and by a plain sequential script.

``python -m benchmarks.convert --data VOC2012 --split val [--bundle DIR] [--limit 60] [--repeats 3]``

The peer is `benchmarks.eager`: PyTorch eager, whole-image GrabCut, one box at a time. All three run in
turn, several times, and the ratios are of the medians. The stages alone follow: each is run over the same
images by itself, with the workers that it has in the pipeline, so the slowest one bounds the whole.

``--baseline DIR`` takes another checkout of boxmask as the peer instead of the script. It and this one
convert in turn, in processes of their own, and each counts the seconds from its first image to its last.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
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

    from boxmask_core.formats.interface import DetectionDataset

PACKAGE_FOLDERS = ("core", "protos", "server", "clients")


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
    common = [str(arguments.data), "--to", "voc", "--limit", str(arguments.limit), "--no-report"]
    if arguments.split:
        common += ["--split", arguments.split]
    with tempfile.TemporaryDirectory() as folder:
        local = [*common, "--bundle", str(bundle_path.resolve())]
        if arguments.baseline is not None:
            seconds = beside_baseline(local, arguments.baseline, Path(folder), arguments.repeats)
        else:
            seconds = beside_script(
                common, local, bundle, dataset, arguments.limit, Path(folder), arguments.repeats
            )
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
    names = {
        "gain_over_sequential": ("sequential", "in-process"),
        "gain_over_sequential_grpc": ("sequential", "gRPC"),
        "grpc_over_in_process": ("gRPC", "in-process"),
        "gain_over_baseline": ("baseline", "in-process"),
    }
    ratios = {
        name: median[slow] / median[fast] for name, (slow, fast) in names.items() if {slow, fast} <= {*median}
    }
    ratios["efficiency"] = stages[slowest] / median["in-process"]
    # Without an accelerator the network runs on the host's cores too: together the stages bound the whole.
    ratios["efficiency_of_shared_cores"] = sum(stages.values()) / median["in-process"]
    publish("convert", rows, ratios)
    return 0


def beside_script(
    common: list[str],
    local: list[str],
    bundle: Bundle,
    dataset: DetectionDataset,
    limit: int,
    scratch: Path,
    repeats: int,
) -> dict[str, list[float]]:
    """Converts in-process, through gRPC and by the plain script, in turn; returns the seconds of each."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    network, size = eager_cfs(bundle), bundle.network(CFS).fixed_side()
    with running_server(bundle.root) as server:
        remote = [*common, "--server", server.address]
        ways: dict[str, Callable[[int], object]] = {
            "in-process": lambda turn: silent([*local, str(scratch / f"local-{turn}")]),
            "gRPC": lambda turn: silent([*remote, str(scratch / f"remote-{turn}")]),
            "sequential": lambda turn: sequential_conversion(
                dataset, limit, network, size, scratch / f"eager-{turn}"
            ),
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(repeats):
            for way, run in ways.items():
                start = perf_counter()
                run(turn)
                seconds[way].append(perf_counter() - start)
    return seconds


def beside_baseline(local: list[str], baseline: Path, scratch: Path, repeats: int) -> dict[str, list[float]]:
    """Converts by this checkout and by another, in turn; returns the seconds that each counted."""
    checkouts = {"in-process": Path(__file__).parents[1], "baseline": baseline}
    seconds: dict[str, list[float]] = {way: [] for way in checkouts}
    for turn in range(repeats):
        for way, checkout in checkouts.items():
            out = scratch / f"{way}-{turn}"
            paths = [str(checkout.resolve() / folder) for folder in PACKAGE_FOLDERS]
            command = [sys.executable, "-m", "boxmask_core.cli", "convert", *local, str(out)]
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
            subprocess.run(command, check=True, env=environment, capture_output=True)
            seconds[way].append(json.loads((out / "summary.json").read_bytes())["seconds"])
    return seconds


def parser() -> argparse.ArgumentParser:
    """Builds the command line."""
    out = argparse.ArgumentParser(prog="python -m benchmarks.convert", description=__doc__)
    out.add_argument("--data", type=Path, required=True, help="dataset with boxes")
    out.add_argument("--split", help="image set of the dataset")
    out.add_argument("--bundle", type=Path, help="bundle; default: the starter")
    out.add_argument("--limit", type=int, default=60, help="images")
    out.add_argument("--baseline", type=Path, help="another checkout of boxmask, as the peer")
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
