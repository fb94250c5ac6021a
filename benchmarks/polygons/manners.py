"""How a conversion behaves: ultralytics' ``yolo_bbox2segment`` beside ``boxmask convert``.

``python -m benchmarks.polygons.manners --ultralytics PYTHON [--images 100]``

Both convert the same generated folders of YOLO boxes. Ultralytics' function is run as it is, in a Python that
has it (see `benchmarks.polygons`); a stand-in for its SAM, which then needs no weights, gives the true masks.
boxmask runs as a command, with GrabCut; memory is measured with filled boxes, where images go by fastest.

Ratios: ``kept_ours`` and ``kept_theirs``, of the answers that a run had when it was killed half way, the
share that the next run did not ask for again; ``asked_again_ours`` and ``asked_again_theirs``, share of the
images that a second run asks about when nothing has changed; ``kib_an_image_ours`` and
``kib_an_image_theirs``, what an image adds to the resident memory.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.polygons.experiments import Experiments
from benchmarks.polygons.sides import Ours, Theirs
from benchmarks.publish import publish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.publish import Value

ANSWER_SECONDS: Final = 0.03
"""What an answer of the stand-in takes."""


def main(argv: Sequence[str]) -> int:
    """Runs the benchmark.

    Args:
        argv: Command-line arguments.
    """
    options = parser().parse_args(argv)
    python = options.ultralytics.absolute()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        theirs = Experiments(Theirs(python, ANSWER_SECONDS), scratch / "theirs", options.images)
        ours = Experiments(Ours(), scratch / "ours", options.images)
        done = {"theirs": theirs.outcomes(), "ours": ours.outcomes()}
        fast = {
            "theirs": Experiments(Theirs(python, 0), scratch / "theirs", options.images),
            "ours": Experiments(Ours("box"), scratch / "ours", options.images),
        }
        kib = {side: experiments.kib_an_image(20 * options.images) for side, experiments in fast.items()}
    table: list[dict[str, Value]] = [
        {"what": what, "yolo_bbox2segment": done["theirs"][what], "boxmask convert": done["ours"][what]}
        for what in done["ours"]
    ]
    table.append(
        {
            "what": "memory that an image adds",
            "yolo_bbox2segment": f"{kib['theirs']:.2f} KiB",
            "boxmask convert": f"{kib['ours']:.2f} KiB",
        }
    )
    ratios = {f"{name}_ours": value for name, value in ours.ratios.items()}
    ratios |= {f"{name}_theirs": value for name, value in theirs.ratios.items()}
    ratios |= {f"kib_an_image_{side}": value for side, value in kib.items()}
    publish("polygons.manners", table, ratios)
    return 0


def parser() -> argparse.ArgumentParser:
    """Builds the command line."""
    out = argparse.ArgumentParser(prog="python -m benchmarks.polygons.manners", description=__doc__)
    out.add_argument(
        "--ultralytics", type=Path, metavar="PYTHON", required=True, help="a Python that has ultralytics"
    )
    out.add_argument("--images", type=int, default=100, help="of the larger experiments")
    return out


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
