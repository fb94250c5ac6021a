"""How faithful polygons are: boxmask's formats beside ultralytics' ``yolo_bbox2segment``, on true masks.

``python -m benchmarks.polygons --data VOC2012 --split val [--limit N] [--ultralytics PYTHON]``

The true mask of every object (`benchmarks.polygons.true_masks`) goes through each way and is read back by the
rule of those who read it: YOLO's labels as Ultralytics fills them, COCO's polygons by pycocotools.
ultralytics is AGPL, and no dependency of boxmask: ``python -m venv DIR && DIR/bin/pip install ultralytics``,
then ``--ultralytics DIR/bin/python``. Its converter is run as it is, in that Python, with the true masks in
the place of SAM's answers, and its own loader and rasteriser read both sides' labels; "resampled" is what its
training sees, after the loader made 1000 points of each polygon. `benchmarks.polygons.manners` has the rest.

Ratios, of means over the masks: ``error_over_ours``, 1 - IoU of ultralytics over that of ``yolo``;
``error_over_ours_holes`` and ``error_over_ours_parts``, of masks with holes and of several parts;
``error_over_ours_resampled``, as training sees them; ``readers_agree``, share of our masks that ultralytics'
reader and the rule used here fill to the same pixels.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.polygons.fidelity import iou, row, shape_of
from benchmarks.polygons.true_masks import true_masks
from benchmarks.polygons.ways import full_masks, our_ways, their_ways
from benchmarks.publish import publish
from boxmask_core.formats.voc import VocDataset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.polygons.fidelity import Shape

RESAMPLED: Final = ", resampled"
WITHOUT: Final = (
    "ultralytics is not installed here, so its side is left out: "
    "--ultralytics PYTHON takes a Python that has it\n"
)


def main(argv: Sequence[str]) -> int:
    """Runs the benchmark.

    Args:
        argv: Command-line arguments.
    """
    options = parser().parse_args(argv)
    images = list(true_masks(options.data, options.split, options.limit))
    names = VocDataset(options.data, split=options.split).class_names
    true = [mask for image in images for mask in full_masks(image)]
    python = options.ultralytics
    if python is None and importlib.util.find_spec("ultralytics") is not None:
        python = Path(sys.executable)
    ratios = {}
    theirs = ""
    with tempfile.TemporaryDirectory() as folder:
        ways = our_ways(images, names, Path(folder))
        if python is None:
            sys.stderr.write(WITHOUT)
        else:
            labels = Path(folder) / "yolo" / "labels"
            read, version = their_ways(images, names, options.data / "JPEGImages", labels, python)
            same = [np.array_equal(*pair) for pair in zip(ways["yolo"], read["ours"], strict=True)]
            ratios["readers_agree"] = float(np.mean(same))
            theirs = f"ultralytics {version}"
            ways[theirs] = read["theirs"]
            ways[f"yolo{RESAMPLED}"] = read["ours-resampled"]
            ways[f"{theirs}{RESAMPLED}"] = read["theirs-resampled"]
    shapes = [shape_of(mask) for mask in true]
    ious = {
        way: np.array([iou(*pair) for pair in zip(masks, true, strict=True)]) for way, masks in ways.items()
    }
    if theirs:
        ratios |= error_ratios(ious["yolo"], ious[theirs], shapes)
        ratios["error_over_ours_resampled"] = _error_ratio(
            ious[f"yolo{RESAMPLED}"], ious[f"{theirs}{RESAMPLED}"]
        )
    publish("polygons", [row(way, values.tolist(), shapes) for way, values in ious.items()], ratios)
    return 0


def error_ratios(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], shapes: Sequence[Shape]
) -> dict[str, float]:
    """Compares what two ways lose, of all masks and of the hard ones.

    Args:
        ours: IoU with the true mask, 0 to 1, ``(N,)``.
        theirs: Likewise, of the same masks.
        shapes: Of the true masks.
    """
    chosen = {
        "error_over_ours": np.ones(len(shapes), dtype=np.bool_),
        "error_over_ours_holes": np.array([shape.holes > 0 for shape in shapes]),
        "error_over_ours_parts": np.array([shape.parts > 1 for shape in shapes]),
    }
    return {name: _error_ratio(ours[of], theirs[of]) for name, of in chosen.items() if of.any()}


def parser() -> argparse.ArgumentParser:
    """Builds the command line."""
    out = argparse.ArgumentParser(prog="python -m benchmarks.polygons", description=__doc__)
    out.add_argument("--data", type=Path, required=True, help="a VOC2012 folder")
    out.add_argument("--split", default="val", help="list of images in ImageSets")
    out.add_argument("--limit", type=int, help="images; default: all")
    out.add_argument("--ultralytics", type=Path, metavar="PYTHON", help="a Python that has ultralytics")
    return out


def _error_ratio(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """Returns the ratio of what is lost; a loss of nothing counts as one of a millionth."""
    return float((1 - theirs.mean()) / max(1 - ours.mean(), 1e-6))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
