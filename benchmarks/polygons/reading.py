"""Masks out of files of polygons, by the rules of those who read them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from boxmask_core.rle import decode_rle

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def yolo_masks(labels: Path, height: int, width: int) -> list[NDArray[np.bool_]]:
    """Reads a YOLO-seg label file as Ultralytics fills it: coordinates lose their decimals, edges are filled.

    Args:
        labels: The file.
        height: Of the image, pixels.
        width: Likewise.

    Returns:
        bool ``(height, width)``, one per row.
    """
    masks = []
    for row in labels.read_text(encoding="utf-8").splitlines():
        normalised = np.array(row.split()[1:], dtype=np.float32).reshape(-1, 2)
        points = (normalised * np.array([width, height], dtype=np.float32)).astype(np.int32)
        canvas = np.zeros((height, width), dtype=np.uint8)
        cv2.fillPoly(canvas, [points], color=1)
        masks.append(canvas.astype(np.bool_))
    return masks


def coco_masks(instances: Path) -> dict[str, list[NDArray[np.bool_]]]:
    """Reads a COCO file by COCO's own rasteriser.

    Args:
        instances: The file.

    Returns:
        By file name, bool ``(height, width)``, one per annotation.
    """
    content = json.loads(instances.read_bytes())
    images = {image["id"]: image for image in content["images"]}
    masks: dict[str, list[NDArray[np.bool_]]] = {image["file_name"]: [] for image in images.values()}
    for annotation in content["annotations"]:
        image, shapes = images[annotation["image_id"]], annotation["segmentation"]
        if isinstance(shapes, list):
            shapes = coco_mask.merge(coco_mask.frPyObjects(shapes, image["height"], image["width"]))
        masks[image["file_name"]].append(
            decode_rle(_counts(shapes["counts"]), image["height"], image["width"])
        )
    return masks


def _counts(counts: str | bytes) -> bytes:
    return counts if isinstance(counts, bytes) else counts.encode("ascii")
