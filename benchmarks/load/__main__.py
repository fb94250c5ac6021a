"""Loads a running server.

``python -m benchmarks.load --server ADDRESS --data VOC2012 --split val --ask segment --rate 20``
``python -m benchmarks.load --server ADDRESS --data VOC2012 --split val --ask cfs --callers 8``

With ``--rate`` the requests are sent when they are due, whether or not earlier ones were answered; with
``--callers`` every caller waits for its answer first. The client works in a process of its own.
"""

from __future__ import annotations

import argparse
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.load.drive import drive_apart
from benchmarks.load.payloads import MAKERS
from benchmarks.load.plan import ClosedLoop, OpenLoop, Plan
from benchmarks.load.schedule import constant, poisson
from benchmarks.load.summary import summarize
from benchmarks.publish import publish
from boxmask_core.bundle import Bundle, starter_path
from boxmask_core.formats import open_dataset
from boxmask_core.instances import ImageRecord

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: Arguments.
    """
    options = parser().parse_args(argv)
    dataset = open_dataset(options.data, split=options.split)
    records = [record for record in islice(dataset, options.limit) if isinstance(record, ImageRecord)]
    calls = MAKERS[options.ask](records, Bundle.load(options.bundle or starter_path()))
    plan = Plan(options.server, calls, load(options), options.timeout, options.warm_up)
    summary = summarize(plan, drive_apart(plan))
    row = {"asked": options.ask} | summary.row()
    publish("load", [row], {"answered_over_offered": summary.goodput / summary.offered})
    return 0


def load(options: argparse.Namespace) -> OpenLoop | ClosedLoop:
    """Returns when requests are sent."""
    if options.callers:
        return ClosedLoop(options.callers, options.seconds)
    if options.arrivals == "constant":
        return constant(options.rate, options.seconds)
    return poisson(options.rate, options.seconds, seed=options.seed)


def parser() -> argparse.ArgumentParser:
    """Builds the command line."""
    out = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    out.add_argument("--server", metavar="ADDRESS", required=True, help="HOST:PORT or unix:PATH")
    out.add_argument("--data", type=Path, required=True, help="dataset with boxes")
    out.add_argument("--split", help="image set of the dataset")
    out.add_argument("--bundle", type=Path, help="bundle that is served; default: the starter")
    out.add_argument("--ask", choices=MAKERS, required=True, help="what is asked")
    load_ = out.add_mutually_exclusive_group(required=True)
    load_.add_argument("--rate", type=float, help="requests a second, on a schedule")
    load_.add_argument("--callers", type=int, help="callers who wait for their answers")
    out.add_argument("--arrivals", choices=("poisson", "constant"), default="poisson", help="with --rate")
    out.add_argument("--seed", type=int, default=0, help="of Poisson arrivals")
    out.add_argument("--seconds", type=float, default=10, help="how long requests are sent")
    out.add_argument("--timeout", type=float, default=30, help="deadline of one request, seconds")
    out.add_argument("--warm-up", type=int, default=20, help="requests beforehand that do not count")
    out.add_argument("--limit", type=int, default=50, help="images of the dataset")
    return out


if __name__ == "__main__":
    sys.exit(main())
