"""What the converter adds to the bare engine: time per image, and memory that must not grow with the dataset.

``python -m benchmarks.bulk --data VOC2012 --split val [--limit 60] [--repeats 3] [--images 100000]``

*Time*: the same images, in turn, several times: by ``boxmask convert`` (read, keyed, answered, journalled,
written as COCO RLE), and by the engine alone, which is handed the bytes and whose answers are dropped. The
ratio is the median of the turns' own, for a machine that others use drifts.

*Memory*: two generated datasets of small images, of 1 000 and of ``--images``, each converted by a process of
its own. The ratio is of their peaks of resident memory. ``--images 0`` leaves this out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks.convert import silent
from benchmarks.publish import publish
from boxmask_convert.answers.asking import WINDOW
from boxmask_convert.images.questions import prepare
from boxmask_convert.labelers.local import open_local_labeler
from boxmask_convert.plan import make_plan
from boxmask_convert.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from boxmask_client import Answer, Question

FEW = 1000
SIDE = 64
MIB = 1 << 20


def main(argv: Sequence[str]) -> int:
    """Runs the benchmark.

    Args:
        argv: Command-line arguments.
    """
    arguments = parser().parse_args(argv)
    rows: list[dict[str, str | int | float]] = []
    ratios = {}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if arguments.repeats:
            seconds = beside_engine(arguments, scratch)
            median = {way: statistics.median(times) for way, times in seconds.items()}
            rows += [
                {"what": way, "images": arguments.limit, "seconds": time, "peak MiB": "-"}
                for way, time in median.items()
            ]
            pairs = zip(seconds["converter"], seconds["engine"], strict=True)
            ratios["converter_over_engine"] = statistics.median(whole / bare for whole, bare in pairs)
        if arguments.images:
            peaks = {}
            for count in (FEW, arguments.images):
                generate(scratch / f"{count}", count)
                peaks[count], spent = peak_and_seconds(scratch, count, arguments.method)
                row: dict[str, str | int | float] = {
                    "what": f"converter, {arguments.method}, generated",
                    "images": count,
                    "seconds": spent,
                    "peak MiB": round(peaks[count] / MIB),
                }
                rows.append(row)
            ratios["memory_of_many_over_few"] = peaks[arguments.images] / peaks[FEW]
    publish("bulk", rows, ratios)
    return 0


def beside_engine(arguments: argparse.Namespace, scratch: Path) -> dict[str, list[float]]:
    """Converts, and answers without converting, in turn; returns the seconds of each."""
    settings = Settings(arguments.data, scratch / "out", "coco", split=arguments.split, limit=arguments.limit)
    plan = make_plan(settings)
    prepared = [prepare(record, settings) for record in islice(plan.dataset, arguments.limit)]
    questions = [each.question for each in prepared if each.question is not None]
    command = [str(arguments.data), "--to", "coco", "--limit", str(arguments.limit), "--no-report"]
    if arguments.split:
        command += ["--split", arguments.split]
    seconds: dict[str, list[float]] = {"engine": [], "converter": []}
    for turn in range(arguments.repeats + 1):
        spent = engine_seconds(questions, settings)
        out = scratch / f"turn-{turn}"
        silent([*command, str(out)])
        if turn:  # the first loads and compiles
            seconds["engine"].append(spent)
            seconds["converter"].append(json.loads((out / "summary.json").read_bytes())["seconds"])
    return seconds


def engine_seconds(questions: Sequence[Question], settings: Settings) -> float:
    """Returns how long the engine alone answers, with as many questions on their way as in a conversion."""
    with open_local_labeler(settings) as labeler:
        start = time.perf_counter()
        pending: deque[Future[Answer]] = deque()
        for question in questions:
            pending.append(labeler.submit(question))
            if len(pending) >= WINDOW:
                pending.popleft().result()
        for future in pending:
            future.result()
        return time.perf_counter() - start


def generate(root: Path, count: int) -> None:
    """Writes a COCO dataset of noisy discs, one box each."""
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir()
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    images, annotations = [], []
    for number in range(count):
        radius, x, y = rng.integers(10, 20), rng.integers(24, 40), rng.integers(24, 40)
        inside = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        pixels = np.where(inside[..., None], rng.integers(0, 255, 3), rng.integers(0, 255, 3))
        noisy = (pixels + rng.integers(-20, 20, (SIDE, SIDE, 3))).clip(0, 255).astype(np.uint8)
        name = f"{number:06}.jpg"
        (root / "images" / name).write_bytes(cv2.imencode(".jpg", noisy)[1].tobytes())
        images.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
        box = [int(x - radius), int(y - radius), int(2 * radius), int(2 * radius)]
        annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": box})
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "disc"}],
    }
    (root / "annotations" / "instances_all.json").write_text(json.dumps(content))


def peak_and_seconds(scratch: Path, count: int, method: str) -> tuple[int, float]:
    """Converts a generated dataset in a process of its own; returns its peak memory, bytes, and seconds."""
    out = scratch / f"out-{count}"
    command = [sys.executable, "-m", "boxmask_core.cli", "convert", str(scratch / f"{count}"), str(out)]
    command += ["--to", "coco", "--method", method, "--progress", "none"]
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, high_water(process.pid))
            time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    seconds: float = json.loads((out / "summary.json").read_bytes())["seconds"]
    return peak, seconds


def high_water(pid: int) -> int:
    """Returns the peak of a process's resident memory so far, bytes; 0 where it has ended.

    Not ``ru_maxrss``: that of a child begins with its parent's.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def parser() -> argparse.ArgumentParser:
    """Builds the command line."""
    out = argparse.ArgumentParser(prog="python -m benchmarks.bulk", description=__doc__)
    out.add_argument("--data", type=Path, required=True, help="dataset with boxes, for the time")
    out.add_argument("--split", help="image set of the dataset")
    out.add_argument("--limit", type=int, default=60, help="images whose time is taken")
    out.add_argument("--repeats", type=int, default=3, help="turns of which the median is taken; 0: none")
    out.add_argument("--images", type=int, default=100_000, help="generated images for the memory; 0: none")
    out.add_argument("--method", choices=["box", "grabcut", "cfs"], default="cfs", help="of these")
    return out


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
