"""Steps of public commands that take a second: boxes filled, and compared with the truth."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from boxmask_training.reproduce.runner import carry_out, locked, stopped_by_sigterm
from boxmask_training.reproduce.stamps import Stamps
from boxmask_training.reproduce.step import Files, Step

if TYPE_CHECKING:
    from collections.abc import Callable


def fill_boxes(data: Path, out: Path, name: str = "fill", *more: str) -> Step:
    """Label maps of filled boxes."""
    folder = out / name
    return Step(
        name=name,
        words=("convert", data, folder, "--to", "voc", "--method", "box", "--no-report", *more),
        placement=("--workers", "1"),
        files=(Files(data / "ImageSets" / "Segmentation" / "val.txt", (data / "JPEGImages",)),),
        output=folder,
        product=folder,
    )


def compare(data: Path, out: Path, fill: Step, *more: str) -> Step:
    """Their scores."""
    scores = out / f"{fill.name}.json"
    maps = fill.product
    words = ("evaluate", maps / "SegmentationClass", data / "SegmentationClass", "--json", scores)
    return Step(
        name=f"scores/{fill.name}",
        words=(*words, "--names", maps / "class_names.txt", *more),
        after=(fill.name,),
        output=scores,
        product=scores,
    )


def carry_out_missing(
    steps: tuple[Step, ...],
    out: Path,
    jobs: int = 1,
    finished: Callable[[Step], None] = lambda _: None,
) -> list[str]:
    """Carries out what is missing of all steps, and returns the names of the steps that succeeded."""
    succeeded: list[str] = []

    def note(step: Step) -> None:
        succeeded.append(step.name)
        finished(step)

    with locked(out) as lock:
        stamps = Stamps(out / "steps", steps)
        missing = stamps.missing([step.name for step in steps])
        carry_out(missing, stamps, jobs=jobs, threads=1, lock=lock, finished=note)
    return succeeded


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    data, out = Path(sys.argv[1]), Path(sys.argv[2])
    first, second = fill_boxes(data, out, "first"), fill_boxes(data, out, "second", "--method", "grabcut")
    with stopped_by_sigterm():
        carry_out_missing((first, second, compare(data, out, second)), out)
