"""Fuzzes for as long as asked: ``python -m tests.fuzz --minutes 10 [--only TARGET] [--keep DIR]``.

The time is shared out among the targets, each in a process of its own with limited memory, from seeds that
were never used. A table says what came of the examples. After a fault the exit status is 1, and its input is
in the folder: ``python -m tests.fuzz --only TARGET --input FILE`` tries it again.
"""

from __future__ import annotations

import argparse
import ast
import json
import secrets
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any

from boxmask_server.networks.cores import available_cores
from tests.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PATIENCE = 90.0
"""Seconds that a process may take beyond its share: to start, and for an example that hangs."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one target.

    Attributes:
        target: Its name.
        outcomes: How many examples ended how.
        peak: MiB that the process held at most.
        seconds: How long it took.
        fault: What went wrong; empty if nothing did.
        input: The file that holds the example that went wrong.
    """

    target: str
    outcomes: Mapping[str, int]
    peak: int
    seconds: float
    fault: str
    input: Path


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzzes, or tries one input again.

    Args:
        argv: Arguments.

    Returns:
        0, or 1 after a fault.
    """
    options = _parser().parse_args(argv)
    if options.input is not None:
        example = ast.literal_eval(options.input.read_text(encoding="utf-8"))
        sys.stdout.write(f"{TARGETS[options.only].outcome(example)}\n")
        return 0
    names = [options.only] if options.only else list(TARGETS)
    options.keep.mkdir(parents=True, exist_ok=True)
    worth = sum(TARGETS[name].share for name in names)
    seconds = 60 * options.minutes * min(options.jobs, len(names))
    with ThreadPoolExecutor(options.jobs) as pool:
        reports = list(
            pool.map(
                lambda name: _fuzzed(name, seconds * TARGETS[name].share / worth, options.keep),
                # The longest first: it must not be begun when all the others are through.
                sorted(names, key=lambda name: -TARGETS[name].share),
            )
        )
    _print(reports)
    return 1 if any(report.fault for report in reports) else 0


def _fuzzed(name: str, seconds: float, folder: Path) -> Report:
    file = folder / f"{name.replace(' ', '-').replace(',', '')}.txt"
    start = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.child",
        name,
        str(seconds),
        str(secrets.randbits(32)),
        str(file),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return Report(name, {}, 0, time.monotonic() - start, "it does not end", file)
    told: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"outcomes": {}, "peak": 0}
    took = time.monotonic() - start
    return Report(name, told["outcomes"], told["peak"], took, _fault(done.returncode, done.stderr), file)


def _fault(status: int, words: str) -> str:
    if status == 0:
        return ""
    if status == -signal.SIGALRM:
        return "one example hangs"
    if status < 0:
        return f"crash: {signal.Signals(-status).name}\n{words}"
    return words or f"exit status {status}"


def _print(reports: Sequence[Report]) -> None:
    sys.stdout.write("| target | examples | seconds | most memory, MiB | outcomes |\n")
    sys.stdout.write("| --- | --- | --- | --- | --- |\n")
    for report in sorted(reports, key=lambda report: list(TARGETS).index(report.target)):
        told = ", ".join(
            f"{count} {kind}" for kind, count in sorted(report.outcomes.items(), key=lambda pair: -pair[1])
        )
        told = f"FAULT; {told}" if report.fault else told
        count = sum(report.outcomes.values())
        sys.stdout.write(f"| {report.target} | {count} | {report.seconds:.0f} | {report.peak} | {told} |\n")
    for report in reports:
        if report.fault:
            sys.stdout.write(
                f"\n{report.target}: python -m tests.fuzz --only {report.target!r} --input {report.input}\n"
            )
            sys.stdout.write(f"{report.fault}\n")
    faults = sum(1 for report in reports if report.fault)
    total = sum(sum(report.outcomes.values()) for report in reports)
    sys.stdout.write(f"\n{total} examples, {faults} faults\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=10.0, help="how long, all together")
    add("--jobs", type=int, default=available_cores(), help="processes at once")
    add("--only", choices=TARGETS, metavar="TARGET", help=f"one target: {', '.join(TARGETS)}")
    add("--input", type=Path, metavar="FILE", help="try this example of the target again")
    add(
        "--keep",
        type=Path,
        default=Path(gettempdir()) / "boxmask-fuzz",
        metavar="DIR",
        help="where inputs are kept",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
