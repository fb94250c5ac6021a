"""A tiny dataset of discs and squares, with exact masks as its proposals, and a run on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from boxmask_core.boxes import Box, Window
from boxmask_core.formats.coco_masks import CocoMasks, CocoMaskWriter
from boxmask_core.formats.voc import VocDataset
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.instances import ImageRecord, Instance, InstanceMask, MaskedImage
from boxmask_core.palette import encode_indexed_png
from boxmask_training.cfs_job import CfsJob
from boxmask_training.cfs_samples import select_samples
from boxmask_training.cfs_settings import CfsSettings
from boxmask_training.validation import HeldOut
from tests.clients.scenes import VocFolder, png

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_training.run import Accelerator

CLASS_NAMES = ("disc", "square")
SIDE = 96
SETTINGS = CfsSettings(
    backbone="efficientnet_lite0",
    weights="none",
    size=32,
    epochs=2,
    batch_size=4,
    optimizer="adamw",
    lr=3e-3,
    min_side=20.0,
    class_dropout=0.3,
    average=0.9,
)


@dataclass(frozen=True, slots=True)
class Shapes:
    """Where the dataset lies.

    Attributes:
        voc: VOC folder with images, boxes and true label maps.
        proposals: Folder with the masks, as `boxmask convert --to coco` writes them.
    """

    voc: Path
    proposals: Path

    @property
    def truth(self) -> Path:
        return self.voc / "SegmentationClass"


def write_shapes(root: Path, count: int = 16) -> Shapes:
    shapes = Shapes(root / "voc", root / "proposals")
    folder = VocFolder(shapes.voc)
    shapes.truth.mkdir()
    with CocoMaskWriter(shapes.proposals, CLASS_NAMES) as writer:
        for index in range(count):
            key, name = f"shape{index:02}", CLASS_NAMES[index % 2]
            pixels, mask, box = _draw(np.random.default_rng(index), name)
            folder.image(key, png(pixels))
            folder.annotation(key, [(name, box)], (SIDE, SIDE))
            labels = (mask * (1 + index % 2)).astype(np.uint8)
            (shapes.truth / f"{key}.png").write_bytes(encode_indexed_png(labels))
            window = box.window()
            proposal = Proposal(window, mask[window.slices()], Fallback.NONE)
            answer = InstanceMask(Instance(box, name, id="0"), proposal, 1.0)
            writer.write(MaskedImage(key, f"{key}.jpg", SIDE, SIDE, (answer,)))
    return shapes


def shapes_job(
    shapes: Shapes,
    out: Path,
    settings: CfsSettings = SETTINGS,
    *,
    workers: int = 0,
    held_out: HeldOut | None = None,
    accelerator: Accelerator = "cpu",
) -> CfsJob:
    selection = select_samples(CocoMasks(shapes.proposals), shapes.voc / "JPEGImages", CLASS_NAMES, settings)
    return CfsJob(
        settings=settings,
        samples=selection.samples,
        class_names=CLASS_NAMES,
        out=out,
        training_data="shapes",
        held_out=held_out,
        accelerator=accelerator,
        workers=workers,
        progress=False,
    )


def held_out_shapes(shapes: Shapes, count: int = 2) -> HeldOut:
    records = [item for item in VocDataset(shapes.voc) if isinstance(item, ImageRecord)]
    return HeldOut(tuple(records[:count]), shapes.truth, CLASS_NAMES, CLASS_NAMES)


def _draw(rng: np.random.Generator, name: str) -> tuple[NDArray[np.uint8], NDArray[np.bool_], Box]:
    side = int(rng.integers(40, 60))
    x0, y0 = (int(value) for value in rng.integers(4, SIDE - side - 4, size=2))
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    window = Window(x0, y0, x0 + side, y0 + side)
    mask = np.zeros((SIDE, SIDE), dtype=np.bool_)
    mask[window.slices()] = True
    if name == "disc":
        mask &= np.hypot(x - x0 - side / 2, y - y0 - side / 2) <= side / 2
    pixels = rng.integers(60, 110, (SIDE, SIDE, 3))
    pixels[mask] += rng.integers(70, 140, 3)
    return pixels.astype(np.uint8), mask, Box(x0, y0, x0 + side, y0 + side)
