"""What the service costs beside the engine that it serves."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.load.drive import drive_apart
from benchmarks.load.payloads import COMMON_SIZE, MAKERS
from benchmarks.load.plan import ClosedLoop, Plan
from benchmarks.load.summary import summarize
from boxmask_core.bundle import LGSA
from boxmask_core.crops import network_crop, resized
from boxmask_core.images import decode
from boxmask_core.segmentation import canvas_for, draw
from boxmask_server.networks.cfs_engine import CfsEngine, CfsInput
from boxmask_server.networks.cores import available_cores
from boxmask_server.networks.segmentation_engine import SegmentationEngine
from demo.run import running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.publish import Value
    from boxmask_core.bundle import Bundle
    from boxmask_core.instances import ImageRecord

KINDS = ("lgsa-fixed", "lgsa", "cfs")
CALLERS = 4


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of one side.

    Attributes:
        seconds: Wall time of one request.
        cpu: Processor time of one request, of the server or the engine alone.
    """

    seconds: float
    cpu: float


def overhead(
    records: Sequence[ImageRecord], bundle: Bundle, *, requests: int, repeats: int
) -> tuple[list[dict[str, Value]], dict[str, float]]:
    """Asks the same of the engine in this process and of a server, in turn.

    The load generator's own processor time is no part of ``cpu``, but takes cores from the server: on a
    machine of two cores it stands in the wall time.

    Returns:
        Rows, and the ratios: the server's time of a request over the engine's.
    """
    rows: list[dict[str, Value]] = []
    ratios: dict[str, float] = {}
    for kind in KINDS:
        runs = _engine_runs(kind, records, bundle)
        calls = MAKERS[kind](records, bundle)
        sides: dict[str, list[Turn]] = {"engine": [], "server": []}
        with running_server(bundle.root) as server:
            plan = Plan(server.address, calls, ClosedLoop(CALLERS, requests=requests), timeout=120, warm_up=8)
            for repeat in range(repeats + 1):
                engine = _engine_turn(runs, requests)
                served = _server_turn(plan, server.pid, requests)
                if repeat:  # the first is warm-up
                    sides["engine"].append(engine)
                    sides["server"].append(served)
        for side, turns in sides.items():
            rows.append(
                {
                    "what": kind,
                    "side": side,
                    "ms a request": 1e3 * median(turn.seconds for turn in turns),
                    "processor ms a request": 1e3 * median(turn.cpu for turn in turns),
                }
            )
        pairs = list(zip(sides["server"], sides["engine"], strict=True))
        name = kind.replace("-", "_")
        ratios[f"service_over_engine_{name}"] = median(s.seconds / e.seconds for s, e in pairs)
        ratios[f"service_cpu_over_engine_{name}"] = median(s.cpu / e.cpu for s, e in pairs)
    ratios["service_over_engine"] = ratios["service_over_engine_lgsa"]
    return rows, ratios


def _engine_turn(runs: Sequence[Callable[[], object]], requests: int) -> Turn:
    start, cpu = perf_counter(), time.process_time()
    for number in range(requests):
        runs[number % len(runs)]()
    return Turn((perf_counter() - start) / requests, (time.process_time() - cpu) / requests)


def _server_turn(plan: Plan, pid: int, requests: int) -> Turn:
    before = _cpu_seconds(pid)
    outcome = drive_apart(plan)
    told = summarize(plan, outcome)
    if told.refusals:
        raise RuntimeError(f"the server refused: {told.refusals}")
    # The warm-up's requests are the server's work too.
    return Turn(outcome.seconds / requests, (_cpu_seconds(pid) - before) / (requests + plan.warm_up))


def _engine_runs(kind: str, records: Sequence[ImageRecord], bundle: Bundle) -> list[Callable[[], object]]:
    images = [decode(record.path.read_bytes()) for record in records]
    if kind == "cfs":
        engine = CfsEngine(bundle, device="cpu", threads=available_cores())
        engine.warm_up()
        inputs = []
        for image, record in zip(images, records, strict=True):
            for instance in record.instances:
                crop = network_crop(image, instance.box, engine.input_size)
                inputs.append(CfsInput(crop.pixels, crop.box_mask, engine.label(instance.class_name)))
        return [lambda one=one: engine.run([one]) for one in inputs]  # type: ignore[misc]  # its default is its type
    segmenter = SegmentationEngine(bundle, device="cpu", threads=available_cores())
    segmenter.warm_up()
    if kind == "lgsa-fixed":
        pictures = [resized(image, COMMON_SIZE) for image in images]
    else:
        rule = bundle.network(LGSA).any_size()
        sizes = [canvas_for(image.shape[1], image.shape[0], rule.step, rule.max_side) for image in images]
        pictures = [draw(image, canvas) for image, canvas in zip(images, sizes, strict=True)]
    return [lambda one=one: segmenter.run([one]) for one in pictures]  # type: ignore[misc]  # likewise


def _cpu_seconds(pid: int) -> float:
    """Returns the processor time of a process, user and system, all its threads (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
