"""The part of `benchmarks.polygons.manners` that runs inside a Python that has ultralytics.

``PYTHON ultralytics_manners.py FOLDER SECONDS`` runs ``yolo_bbox2segment`` over ``FOLDER/images`` into
``FOLDER/segments``, with the answers of ``FOLDER/answers.npz`` (see `ultralytics_side`) in the place of those
of SAM, each of which takes so many seconds. Every image that the model is asked about becomes a line of
``FOLDER/asked.txt``. The last line printed is JSON: the version, and the bytes that the conversion added to
the resident memory.
"""

# The peer is installed in an environment of its own, where mypy does not look.
# mypy: disable-error-code="import-not-found,misc,no-any-return"

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import ultralytics
from ultralytics.data.converter import yolo_bbox2segment
from ultralytics_side import GivenMasks, answers


def main(folder: Path, seconds: float) -> None:
    """Converts, and tells what it took.

    Args:
        folder: As the module says.
        seconds: What an answer takes.
    """
    GivenMasks.masks, GivenMasks.boxes = answers(folder / "answers.npz")
    GivenMasks.rows = {}

    memory = [resident()]

    class CountedMasks(GivenMasks):
        def __call__(self, source: object, bboxes: Any, **options: object) -> list[Any]:
            with (folder / "asked.txt").open("a") as asked:
                asked.write("asked\n")
            memory.append(resident())
            time.sleep(seconds)
            return super().__call__(source, bboxes, **options)

    ultralytics.SAM = CountedMasks
    yolo_bbox2segment(folder / "images", save_dir=folder / "segments")
    told = {"version": ultralytics.__version__, "grown": max(memory) - memory[0]}
    sys.stdout.write(f"{json.dumps(told)}\n")


def resident() -> int:
    """Returns the resident memory, bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
