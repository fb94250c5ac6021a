"""The service: its overhead, its manners under overload, its priorities.

``python -m benchmarks.serving --data VOC2012 --split val [--limit 60] [--requests 60] [--repeats 3]
[--seconds 30] [--only overhead,overload,priorities] [--bundle DIR]``
"""

from __future__ import annotations

import argparse
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.publish import publish, table
from benchmarks.serving.overhead import overhead
from benchmarks.serving.overload import overload
from benchmarks.serving.priorities import priorities
from boxmask_core.bundle import Bundle, starter_path
from boxmask_core.formats import open_dataset
from boxmask_core.instances import ImageRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

PARTS = ("overhead", "overload", "priorities")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark.

    Args:
        argv: Arguments.
    """
    options = parser().parse_args(argv)
    bundle = Bundle.load(options.bundle or starter_path())
    dataset = open_dataset(options.data, split=options.split)
    given = (record for record in dataset if isinstance(record, ImageRecord) and record.instances)
    records = list(islice(given, options.limit))
    ratios: dict[str, float] = {}
    for part in options.only.split(","):
        if part == "overhead":
            found, told = overhead(records, bundle, requests=options.requests, repeats=options.repeats)
        elif part == "overload":
            found, told = overload(records, bundle, seconds=options.seconds)
        else:
            found, told = priorities(records, bundle, seconds=4 * options.seconds)
        sys.stdout.write(f"\n{part}\n\n{table(found)}")
        sys.stdout.flush()
        ratios |= told
    sys.stdout.write("\n")
    publish("serving", [{"ratio": name, "value": value} for name, value in ratios.items()], ratios)
    return 0


def parser() -> argparse.ArgumentParser:
    """Returns the command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    made.add_argument("--data", type=Path, required=True, help="detection dataset")
    made.add_argument("--split", default="val")
    made.add_argument("--limit", type=int, default=60, help="images")
    made.add_argument("--requests", type=int, default=60, help="requests of one turn of the overhead")
    made.add_argument("--repeats", type=int, default=3, help="turns of each side of the overhead")
    made.add_argument("--seconds", type=float, default=30, help="length of each load")
    made.add_argument("--only", default=",".join(PARTS), help="parts to run")
    made.add_argument("--bundle", type=Path)
    return made


if __name__ == "__main__":
    sys.exit(main())
