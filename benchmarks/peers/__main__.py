"""boxmask beside MLServer, KServe's Python server and PyTriton.

``benchmarks/peers/setup.sh DIR`` once, then
``python -m benchmarks.peers --data VOC2012 --split val --venvs DIR [--peer NAME] [--repeats 3]``

All serve the same ONNX files with the same number of threads and get the same bytes, by the Open Inference
Protocol, from a client in a process of its own: images for the segmentation network in the sizes that the
dataset has (``mix``) and in one size (``fixed``), and crops for the constrained foreground network (``cfs``).
Every answer is first compared with ONNX Runtime's own. Throughput is of 8 callers who wait for their answers;
latency is at a rate that is common to all, a share of the slowest one's throughput, and counts from when a
request was due.

The ratios are of medians over the repeats and above 1 where boxmask is better: ``over_PEER`` of throughput,
``p99_over_PEER`` of latency, both of the mix; ``..._fixed`` and ``..._cfs`` of the others. The first table
says what one bad request among eight did to the seven others (`benchmarks.peers.faults`).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from benchmarks.peers.contest import Contest
from benchmarks.peers.faults import fault_rows
from benchmarks.peers.processes import COMMANDS
from benchmarks.peers.site import Site
from benchmarks.peers.workloads import workloads
from benchmarks.publish import publish, table
from boxmask_core.bundle import Bundle, starter_path
from boxmask_core.formats import open_dataset
from boxmask_core.instances import ImageRecord

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType


OURS: Final = "boxmask"
SUFFIXES: Final = {"mix": "", "fixed": "_fixed", "cfs": "_cfs"}
"""Of the ratios' names, by workload."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; fails if a server's answers are not ONNX Runtime's.

    Args:
        argv: Arguments.
    """
    options = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _end)
    bundle = Bundle.load(options.bundle or starter_path())
    dataset = open_dataset(options.data, split=options.split)
    records = [record for record in islice(dataset, options.limit) if isinstance(record, ImageRecord)]
    peers = options.peer or list(COMMANDS)
    contest = Contest(
        Site(bundle.root, options.threads, options.venvs.resolve(), options.spinning),
        peers,
        workloads(records, bundle, options.threads, options.limit),
        options.repeats,
    )
    contest.measure(options.seconds)
    if options.faults:
        sys.stdout.write(f"{table(fault_rows(contest.site, peers, contest.workloads[-1]))}\n")
    publish("peers", contest.rows(), _ratios(contest))
    for peer, problem in contest.wrong.items():
        sys.stderr.write(f"{peer} answers wrong: {problem}\n")
    return 1 if contest.wrong else 0


def parser() -> argparse.ArgumentParser:
    """Builds the command line."""
    out = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    out.add_argument("--data", type=Path, required=True, help="dataset with boxes")
    out.add_argument("--split", help="image set of the dataset")
    out.add_argument("--venvs", type=Path, required=True, help="what setup.sh was given")
    out.add_argument("--bundle", type=Path, help="bundle; default: the starter")
    out.add_argument("--peer", action="append", choices=COMMANDS, help="only these; may be repeated")
    out.add_argument("--limit", type=int, default=24, help="different requests of each kind")
    out.add_argument("--repeats", type=int, default=3, help="turns of which the median is taken")
    out.add_argument("--seconds", type=float, default=10, help="of one measurement, about")
    out.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of one run")
    out.add_argument(
        "--no-spinning",
        dest="spinning",
        action="store_false",
        help="let the peers' waiting threads sleep, as boxmask's do; ONNX Runtime's default is to spin",
    )
    out.add_argument("--no-faults", dest="faults", action="store_false", help="leave out the first table")
    return out


def _end(number: int, _: FrameType | None) -> NoReturn:
    """Ends by an exception, so that the server of the moment is stopped too."""
    sys.exit(128 + number)


def _ratios(contest: Contest) -> dict[str, float]:
    out: dict[str, float] = {}
    for workload in contest.workloads:
        suffix, ours = SUFFIXES[workload.name], contest.medians(workload, OURS)
        for peer in contest.peers:
            theirs = contest.medians(workload, peer)
            if peer != OURS and ours is not None and theirs is not None:
                out[f"over_{peer}{suffix}"] = ours.throughput / theirs.throughput
                out[f"p99_over_{peer}{suffix}"] = theirs.p99 / ours.p99
    return out


if __name__ == "__main__":
    sys.exit(main())
