"""Mixed load for as long as asked: does the server grow?

``python -m benchmarks.soak [--data VOC2012 --split val] [--bundle DIR] [--minutes 20] [--callers 4]``

A real server process is asked for everything it can do by several callers at once, with images of a tenth to
twice their size: masks by every method, label maps with and without CRF, scales and mirroring, raw networks,
streams, streams that are given up, broken images, boxes outside the image, calls whose deadline is too near.
Its memory, threads and descriptors are read every second. The first fifth of the time is warm-up; the ratios
compare the last fifth with the second. Without --data, the photographs of the demo are asked about.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import linear_regression, median
from typing import TYPE_CHECKING

from PIL import Image

from benchmarks.publish import publish
from boxmask_client import Client, Question
from boxmask_client.errors import ServerError
from boxmask_core.boxes import Box
from boxmask_core.bundle import starter_path
from boxmask_core.formats import open_dataset
from boxmask_core.instances import ImageRecord, Instance
from demo.make_dataset import make_dataset
from demo.run import running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.publish import Value

SIZES = (0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
"""What the sides of the images are multiplied by."""
EXPECTED = {"RejectedError", "DeadlineExceededError", "OverloadedError"}
"""Errors that this load provokes."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the server held at one moment.

    Attributes:
        seconds: Since the load began.
        memory: Resident memory, MiB.
        threads: Number of its threads.
        descriptors: Number of its open file descriptors.
    """

    seconds: float
    memory: float
    threads: int
    descriptors: int


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; fails if an answer is an error that the load did not provoke.

    Args:
        argv: Arguments.
    """
    options = parser().parse_args(argv)
    outcomes: Counter[str] = Counter()
    with (
        tempfile.TemporaryDirectory(prefix="boxmask-soak-") as scratch,
        running_server(options.bundle or starter_path()) as server,
    ):
        data = options.data or make_dataset(Path(scratch) / "demo")
        dataset = open_dataset(data, split=options.split)
        given = [record for record in islice(dataset, options.limit) if isinstance(record, ImageRecord)]
        records = in_many_sizes(given, Path(scratch))
        until = time.monotonic() + 60 * options.minutes
        samples: list[Sample] = []
        watch = threading.Thread(target=watched, args=(server.pid, until, samples))
        watch.start()
        with ThreadPoolExecutor(options.callers) as pool:
            calls = [
                pool.submit(caller, server.address, records, seed, until) for seed in range(options.callers)
            ]
            for call in calls:
                outcomes += call.result()
        watch.join()
    report(samples, outcomes)
    surprises = {kind: count for kind, count in outcomes.items() if kind not in EXPECTED | {"answered"}}
    if surprises:
        sys.stderr.write(f"answers that were not expected: {surprises}\n")
    return 1 if surprises else 0


def parser() -> argparse.ArgumentParser:
    """Builds the command line."""
    out = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    out.add_argument("--data", type=Path, help="dataset with boxes; default: the demo's")
    out.add_argument("--split", help="image set of the dataset")
    out.add_argument("--bundle", type=Path, help="bundle; default: the starter")
    out.add_argument("--minutes", type=float, default=20, help="how long")
    out.add_argument("--callers", type=int, default=4, help="calls at once")
    out.add_argument("--limit", type=int, default=100, help="images of the dataset")
    return out


def in_many_sizes(records: Sequence[ImageRecord], folder: Path) -> list[ImageRecord]:
    """Writes every image in another size, and returns the records of those."""
    rng = random.Random(0)
    made = []
    for number, record in enumerate(records):
        factor = rng.choice(SIZES)
        with Image.open(record.path) as image:
            size = max(round(image.width * factor), 8), max(round(image.height * factor), 8)
            path = folder / f"{number}.jpg"
            image.convert("RGB").resize(size).save(path, quality=90)
            across, down = size[0] / image.width, size[1] / image.height
        instances = [
            replace(
                each,
                box=Box(each.box.x0 * across, each.box.y0 * down, each.box.x1 * across, each.box.y1 * down),
            )
            for each in record.instances
        ]
        made.append(replace(record, path=path, instances=tuple(instances)))
    return made


def give_up(client: Client, record: ImageRecord) -> None:
    """Asks for many answers, takes one, and leaves."""
    answers = client.stream_pseudo_label((i, Question(record.path, record.instances)) for i in range(12))
    next(answers)
    answers.close()


def caller(address: str, records: Sequence[ImageRecord], seed: int, until: float) -> Counter[str]:
    """Asks one thing after the other until the time is over; returns what came of it."""
    rng = random.Random(seed)
    asks: list[Callable[[Client, ImageRecord], object]] = [
        lambda client, record: client.pseudo_label(record.path, record.instances),
        lambda client, record: client.pseudo_label(record.path, record.instances, refine=False),
        lambda client, record: client.pseudo_label(record.path, record.instances, method="grabcut"),
        lambda client, record: client.pseudo_label(record.path, record.instances, method="box"),
        lambda client, record: client.segment(record.path, scores=True),
        lambda client, record: client.segment(record.path, crf=True),
        lambda client, record: client.segment(record.path, scales=(0.5, 1.0), flip=True),
        lambda client, record: list(
            client.stream_pseudo_label((i, Question(record.path, record.instances)) for i in range(4))
        ),
        give_up,
        lambda client, record: client.pseudo_label(
            record.path, record.instances, priority=rng.choice(["interactive", "bulk"])
        ),
        lambda client, record: client.pseudo_label(record.path.read_bytes()[:2000], record.instances),
        lambda client, record: client.pseudo_label(
            record.path, [Instance(Box(90_000, 90_000, 90_010, 90_010), "cat")]
        ),
        lambda client, record: client.segment(record.path, timeout=rng.uniform(0.001, 0.2)),
        lambda client, record: client.pseudo_label(record.path, record.instances, timeout=0.02),
    ]
    outcomes: Counter[str] = Counter()
    with Client(address) as client:
        while time.monotonic() < until:
            try:
                rng.choice(asks)(client, rng.choice(records))
                outcomes["answered"] += 1
            except ServerError as error:
                outcomes[type(error).__name__] += 1
    return outcomes


def watched(pid: int, until: float, samples: list[Sample]) -> None:
    """Reads once a second what a process holds (Linux), until the time is over."""
    start = time.monotonic()
    process = Path(f"/proc/{pid}")
    while time.monotonic() < until:
        lines = (line.split() for line in (process / "status").read_text(encoding="ascii").splitlines())
        status = {words[0]: words[1] for words in lines if len(words) > 1}
        samples.append(
            Sample(
                time.monotonic() - start,
                int(status["VmRSS:"]) / 1024,
                int(status["Threads:"]),
                len(list((process / "fd").iterdir())),
            )
        )
        time.sleep(1)


def report(samples: Sequence[Sample], outcomes: Counter[str]) -> None:
    """Prints what the server held, fifth by fifth, and what became of it."""
    fifth = len(samples) // 5
    fifths = [samples[i * fifth : (i + 1) * fifth] for i in range(5)]
    rows: list[dict[str, Value]] = [
        {
            "fifth": f"{i + 1}{' (warm-up)' if i == 0 else ''}",
            "minutes": part[-1].seconds / 60,
            "memory, MiB, median": median(sample.memory for sample in part),
            "memory, most": max(sample.memory for sample in part),
            "threads, most": max(sample.threads for sample in part),
            "descriptors, most": max(sample.descriptors for sample in part),
        }
        for i, part in enumerate(fifths)
    ]
    after = [sample for part in fifths[1:] for sample in part]
    slope = linear_regression([s.seconds / 60 for s in after], [s.memory for s in after]).slope
    told = ", ".join(f"{count} {kind}" for kind, count in outcomes.most_common())
    sys.stdout.write(f"{told}; {slope:+.2f} MiB a minute after warm-up\n\n")
    last, second = rows[4], rows[1]
    publish(
        "soak",
        rows,
        {name: float(last[column]) / float(second[column]) for name, column in COMPARED.items()},
    )


COMPARED = {
    "memory": "memory, MiB, median",
    "memory_most": "memory, most",
    "threads": "threads, most",
    "descriptors": "descriptors, most",
}


if __name__ == "__main__":
    sys.exit(main())
