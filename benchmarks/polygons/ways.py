"""True masks on their way through formats of polygons, and back: boxmask's, and ultralytics'."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.polygons.fidelity import shape_of
from benchmarks.polygons.reading import coco_masks, yolo_masks
from boxmask_core.formats import WRITERS
from boxmask_core.formats.labelme_masks import read_labelme_masks
from boxmask_core.formats.labelstudio_masks import read_labelstudio_masks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from boxmask_core.instances import MaskedImage

    Masks = list[NDArray[np.bool_]]

THEIR_SIDE: Final = Path(__file__).with_name("ultralytics_side.py")
YOLO: Final = ("yolo", "yolo-split", "yolo-largest")
COCO: Final = "coco-polygons"
TOOLS: Final = {"labelme-polygons": read_labelme_masks, "labelstudio-polygons": read_labelstudio_masks}
"""Formats of tools, and our readers of them, which fill rings as the tools do."""


def full_masks(image: MaskedImage) -> Masks:
    """Returns an image's masks at its size, bool ``(height, width)`` each."""
    masks = []
    for mask in image.masks:
        full = np.zeros((image.height, image.width), dtype=np.bool_)
        full[mask.proposal.window.slices()] = mask.proposal.mask
        masks.append(full)
    return masks


def our_ways(images: Sequence[MaskedImage], class_names: Sequence[str], out: Path) -> dict[str, Masks]:
    """Writes masks in every format of polygons that boxmask has, and reads them back.

    Where parts are rows of their own (``yolo-split``), the rows of an object are put together again.

    Args:
        images: What to write; every mask has a pixel.
        class_names: Every class.
        out: A folder; each format gets one in it.

    Returns:
        By format, one mask per object: bool, at the image's size.
    """
    ways: dict[str, Masks] = {}
    for target in (*YOLO, COCO, *TOOLS):
        folder = out / target
        folder.mkdir()
        with WRITERS[target](folder, class_names) as writer:
            for image in images:
                writer.write(image)
    for target in YOLO:
        ways[target] = []
        for image in images:
            rows = iter(yolo_masks(out / target / "labels" / f"{image.key}.txt", image.height, image.width))
            for true in full_masks(image):
                count = shape_of(true).parts if target == "yolo-split" else 1
                ways[target].append(np.logical_or.reduce([next(rows) for _ in range(count)]))
            if list(rows):
                raise ValueError(f"{target}: more rows than parts in {image.key}")
    read = coco_masks(out / COCO / "instances.json")
    ways[COCO] = [mask for image in images for mask in read[image.file_name]]
    for target, reader in TOOLS.items():
        by_key = {image.key: full_masks(image) for image in reader(out / target)}
        ways[target] = [mask for image in images for mask in by_key[image.key]]
    return ways


def their_ways(
    images: Sequence[MaskedImage], class_names: Sequence[str], photographs: Path, labels: Path, python: Path
) -> tuple[dict[str, Masks], str]:
    """Sends masks through ultralytics' converter, and lets its reader read both sides' labels.

    Args:
        images: As in `our_ways`; each has a mask.
        class_names: Every class.
        photographs: Folder of the images.
        labels: What ``yolo`` wrote of them.
        python: A Python that has ultralytics.

    Returns:
        By side, one mask per object, as `our_ways` does; and the version.

    Raises:
        subprocess.CalledProcessError: Their side failed, and said why.
    """
    scratch = labels.parent / "their-side"
    (scratch / "boxes" / "images").mkdir(parents=True)
    (scratch / "boxes" / "labels").mkdir()
    arrays = {}
    for image in images:
        (scratch / "boxes" / "images" / image.file_name).symlink_to(photographs.resolve() / image.file_name)
        boxes = np.array([_corners(image, place) for place in range(len(image.masks))])
        text = "".join(_box_rows(image, boxes, class_names))
        (scratch / "boxes" / "labels" / f"{image.key}.txt").write_text(text, encoding="utf-8")
        arrays[f"boxes/{image.key}"] = boxes
        arrays[f"masks/{image.key}"] = np.stack(full_masks(image))
    np.savez_compressed(scratch / "true.npz", allow_pickle=False, **arrays)
    for side in ("ours", "theirs"):
        (scratch / side).mkdir()
        (scratch / side / "images").symlink_to(scratch / "boxes" / "images")
    (scratch / "ours" / "labels").symlink_to(labels)
    environment = {
        **os.environ,
        "YOLO_CONFIG_DIR": str(scratch),
        "YOLO_OFFLINE": "true",
        "YOLO_VERBOSE": "false",
    }
    done = subprocess.run(
        [python, THEIR_SIDE, scratch], check=True, stdout=subprocess.PIPE, text=True, env=environment
    )
    version = json.loads(done.stdout.splitlines()[-1])["version"]
    with np.load(scratch / "read.npz") as read:
        sides = {name.partition("/")[0] for name in read.files}
        ways = {side: [mask for image in images for mask in read[f"{side}/{image.key}"]] for side in sides}
    return ways, version


def _corners(image: MaskedImage, place: int) -> tuple[float, float, float, float]:
    box = image.masks[place].instance.box.clipped(image.width, image.height)
    return box.x0, box.y0, box.x1, box.y1


def _box_rows(image: MaskedImage, boxes: NDArray[np.float64], class_names: Sequence[str]) -> Iterable[str]:
    size = np.array([image.width, image.height])
    for mask, box in zip(image.masks, boxes, strict=True):
        centre, extent = (box[:2] + box[2:]) / 2 / size, (box[2:] - box[:2]) / size
        numbers = " ".join(f"{value:.9f}" for value in (*centre, *extent))
        yield f"{class_names.index(mask.instance.class_name)} {numbers}\n"
