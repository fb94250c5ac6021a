"""The part that runs inside a Python that has ultralytics: its converter, and how it reads labels.

``PYTHON ultralytics_side.py FOLDER`` imports nothing of boxmask. FOLDER holds

- ``true.npz``: bool masks ``(N, H, W)`` as ``masks/NAME`` and float64 ``x0 y0 x1 y1`` as ``boxes/NAME``, by
  the base name of an image;
- ``boxes/images`` and ``boxes/labels``: the images and their box labels;
- ``ours/images`` and ``ours/labels``: the same images and polygons, one row per mask.

It runs ``yolo_bbox2segment``, with the true masks in the place of SAM's answers, into ``theirs/labels``, and
reads both folders of polygons by ultralytics' own loader and rasteriser. ``read.npz`` gets bool masks, as
``SIDE/NAME`` as they are filled at the image's size, and as ``SIDE-resampled/NAME`` after the loader made
1000 points of each polygon, as it does for training. A mask that has no row is empty. The last line printed
is ultralytics' version, as JSON.
"""

# The peer is installed in an environment of its own, where mypy does not look.
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import ultralytics
from ultralytics.data import YOLODataset
from ultralytics.data.converter import yolo_bbox2segment
from ultralytics.data.utils import polygons2masks
from ultralytics.engine.results import Results

LEAST_POINTS = 3
LABELS = {"names": dict(enumerate(map(str, range(1000)))), "channels": 3}


class GivenMasks:
    """Stands in for ``ultralytics.SAM``: answers with masks that were given.

    Attributes:
        masks: bool ``(N, H, W)`` by the image's base name.
        boxes: float64 ``(N, 4)`` likewise. Images are known by their boxes: what else the model is told of an
            image differs from version to version.
        rows: By the image's base name, which masks become a polygon; filled as images are asked about.
    """

    masks: dict[str, Any]
    boxes: dict[str, Any]
    rows: dict[str, list[bool]]

    def __init__(self, name: str) -> None:
        del name

    def __call__(self, source: object, bboxes: Any, **_: object) -> list[Any]:
        """Answers for one image as SAM does, in ultralytics' own class of results."""
        del source
        distances = {
            name: np.abs(boxes - np.asarray(bboxes)).max()
            for name, boxes in self.boxes.items()
            if len(boxes) == len(bboxes)
        }
        name = min(distances, key=lambda name: distances[name])
        masks = torch.from_numpy(self.masks[name])
        image = np.zeros((*masks.shape[1:], 3), dtype=np.uint8)
        result = Results(image, path=name, names={}, masks=masks)
        self.rows[name] = [len(points) >= LEAST_POINTS for points in result.masks.xyn]
        return [result]


def main(folder: Path) -> None:
    """Converts, reads, and tells the version.

    Args:
        folder: As the module says.
    """
    GivenMasks.masks, GivenMasks.boxes = answers(folder / "true.npz")
    GivenMasks.rows = {}
    ultralytics.SAM = GivenMasks
    yolo_bbox2segment(folder / "boxes" / "images", save_dir=folder / "theirs" / "labels")
    found: dict[str, Any] = {}
    for side in ("theirs", "ours"):
        dataset = YOLODataset(folder / side / "images", data=LABELS, task="segment", augment=False)
        for label in dataset.labels:
            name, size = Path(label["im_file"]).stem, label["shape"]
            count = len(GivenMasks.masks[name])
            rows = GivenMasks.rows[name] if side == "theirs" else [True] * count
            plain = [points * np.array(size[::-1], dtype=np.float32) for points in label["segments"]]
            found[f"{side}/{name}"] = _filled(plain, rows, size)
            instances = dataset.update_labels_info(dict(label))["instances"]
            instances.denormalize(*size[::-1])
            found[f"{side}-resampled/{name}"] = _filled(list(instances.segments), rows, size)
    np.savez_compressed(folder / "read.npz", **found)
    sys.stdout.write(f"{json.dumps({'version': ultralytics.__version__})}\n")


def answers(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns masks and boxes by the base name of an image.

    Args:
        file: An archive of ``masks/NAME`` and ``boxes/NAME``.
    """
    with np.load(file) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return _below(arrays, "masks/"), _below(arrays, "boxes/")


def _filled(polygons: list[Any], rows: list[bool], size: tuple[int, int]) -> Any:
    if len(polygons) != sum(rows):
        raise ValueError(f"{sum(rows)} polygons were expected, but the loader found {len(polygons)}")
    masks = np.zeros((len(rows), *size), dtype=bool)
    if polygons:
        masks[np.flatnonzero(rows)] = polygons2masks(size, polygons, color=1) != 0
    return masks


def _below(arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
