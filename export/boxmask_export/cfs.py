"""CFS as it is exported and checked."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from boxmask_core.boxes import Box
from boxmask_core.bundle import CFS, CFS_TASK, FixedSize
from boxmask_core.crops import network_crop
from boxmask_export.graph import Graph
from boxmask_export.subject import Probe, Subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from boxmask_export.graph import VaryingAxes
    from boxmask_export.subject import Feed
    from boxmask_training.checkpoint import TrainedCfs
    from boxmask_training.models import cfs

ROUNDING_LIMIT = 1e-2
"""Largest difference that float16 weights may make: a twentieth of the trimap's middle band, 0.4 to 0.6."""
INPUTS = ("image", "box_mask", "label")
BATCHES = (1, 5)
CROPS = 10


class CfsGraph(Graph):
    """CFS from decoded pixels to foreground probability.

    Args:
        network: CFS.
        num_classes: Length of the class vector.
        side: Side of the square input, pixels.
    """

    output: ClassVar[str] = "foreground"

    def __init__(self, network: cfs.CFS, num_classes: int, side: int) -> None:
        super().__init__()
        self.network = network
        self.num_classes = num_classes
        self.side = side

    def forward(self, image: Tensor, box_mask: Tensor, label: Tensor) -> Tensor:
        """Computes the foreground probability.

        Args:
            image: I_exp, uint8 RGB, ``(B, S, S, 3)``.
            box_mask: B_exp, uint8 0 or 1, ``(B, S, S)``.
            label: One-hot class, float32, ``(B, C)``; all zero where the class is unknown.

        Returns:
            float32, ``(B, S, S)``, 0 to 1.
        """
        pixels = image.permute(0, 3, 1, 2).float()
        return torch.sigmoid(self.network(pixels, box_mask[:, None].float(), label))

    def example(self) -> dict[str, Tensor]:
        """Returns inputs by name."""
        return {
            "image": torch.zeros(2, self.side, self.side, 3, dtype=torch.uint8),
            "box_mask": torch.zeros(2, self.side, self.side, dtype=torch.uint8),
            "label": torch.zeros(2, self.num_classes),
        }

    def varying_axes(self) -> VaryingAxes:
        """Returns the batch's axis."""
        # One input names the axis; the others turn out to share it. Naming it in each of them warns.
        first, *others = INPUTS
        return {first: {0: torch.export.Dim("batch")}} | {
            name: {0: torch.export.Dim.DYNAMIC} for name in others
        }

    def probabilities(self, answer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the answer: it is the probability."""
        return answer


def cfs_subject(trained: TrainedCfs) -> Subject:
    """Returns what is exported of a trained CFS."""
    num_classes, side = len(trained.class_names), trained.input_size
    return Subject(
        name=CFS,
        task=CFS_TASK,
        graph=CfsGraph(trained.network, num_classes, side),
        input=FixedSize(side),
        output_stride=1,
        class_names=trained.class_names,
        training_data=trained.training_data,
        probes=partial(cfs_probes, side=side, num_classes=num_classes),
        rounding_limit=ROUNDING_LIMIT,
    )


def cfs_probes(images: Sequence[NDArray[np.uint8]], *, side: int, num_classes: int) -> tuple[Probe, ...]:
    """Returns the same crops of photographs at two batch sizes.

    Args:
        images: uint8 RGB, ``(H, W, 3)``, one at least.
        side: Side of the network's input, pixels.
        num_classes: Length of the class vector.
    """
    crops = _crops(images, side, num_classes)
    return tuple(
        Probe(
            f"batch {batch}, {CROPS} crops",
            tuple(
                {name: crops[name][start : start + batch] for name in INPUTS}
                for start in range(0, CROPS, batch)
            ),
        )
        for batch in BATCHES
    )


def _crops(images: Sequence[NDArray[np.uint8]], side: int, num_classes: int) -> Feed:
    """Cuts boxes of many shapes out of the images, some reaching beyond them, some without a class."""
    rng = np.random.default_rng(0)
    pixels, masks = [], []
    for index in range(CROPS):
        image = images[index % len(images)]
        height, width = image.shape[:2]
        x0, y0 = rng.uniform(0, 0.6, size=2)
        side_x, side_y = rng.uniform(0.2, 0.6, size=2)
        box = Box(x0 * width, y0 * height, (x0 + side_x) * width, (y0 + side_y) * height)
        crop = network_crop(image, box, side)
        pixels.append(crop.pixels)
        masks.append(crop.box_mask)
    labels = np.zeros((CROPS, num_classes), dtype=np.float32)
    known = np.arange(CROPS) % 3 > 0
    labels[np.flatnonzero(known), rng.integers(0, num_classes, size=int(known.sum()))] = 1
    return {"image": np.stack(pixels), "box_mask": np.stack(masks), "label": labels}
