"""LGSA-DeepLab as it is exported and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, cast

import numpy as np
import torch
from torch import Tensor

from boxmask_core.bundle import LGSA, SEGMENTATION_TASK, AnySize
from boxmask_core.segmentation import Canvas, draw
from boxmask_export.graph import Graph
from boxmask_export.subject import Probe, Subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from boxmask_export.graph import VaryingAxes
    from boxmask_training.checkpoint import TrainedLgsa
    from boxmask_training.models.deeplab import DeepLab

STEP: Final = 32
"""What the sides of an image must be multiples of, pixels: the largest stride of any backbone."""
MAX_SIDE: Final = 768
"""Longest side that an image is segmented with unless the export says otherwise, pixels."""
ROUNDING_LIMIT = 5e-2
"""Largest difference that float16 weights may make. Networks trained for two epochs differed by 0.005 on
photographs of 320 x 320 and by 0.014 on larger ones, and in the class of one cell in a thousand."""
BATCHES = (1, 3)
SIZES = ((160, 96), (224, 256), (320, 320))
"""Widths and heights that are compared, pixels."""
MARGIN = (6, 10)
"""What of them is padding, at the right and at the bottom."""


class SegmentationGraph(Graph):
    """LGSA-DeepLab from decoded pixels to the scores of the classes.

    Args:
        network: LGSA-DeepLab.
    """

    output: ClassVar[str] = "scores"

    def __init__(self, network: DeepLab) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Computes the scores of every cell, before the softmax.

        Args:
            image: uint8 RGB, ``(B, H, W, 3)``, H and W multiples of `STEP`.

        Returns:
            float32, ``(B, C, H / stride, W / stride)``, walked where the network walks.
        """
        return cast("Tensor", self.network(image.permute(0, 3, 1, 2).float()).scores)

    def example(self) -> dict[str, Tensor]:
        """Returns an input; its sizes differ from one another, so that none is taken for another."""
        return {"image": torch.zeros(2, 3 * STEP, 4 * STEP, 3, dtype=torch.uint8)}

    def varying_axes(self) -> VaryingAxes:
        """Returns batch, height and width."""
        return {
            "image": {axis: torch.export.Dim(name) for axis, name in enumerate(("batch", "height", "width"))}
        }

    def probabilities(self, answer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the softmax over the classes."""
        raised = np.exp(answer - answer.max(axis=1, keepdims=True))
        return cast("NDArray[np.float32]", raised / raised.sum(axis=1, keepdims=True))


def segmentation_subject(trained: TrainedLgsa, max_side: int = MAX_SIDE) -> Subject:
    """Returns what is exported of a trained LGSA-DeepLab.

    Args:
        trained: The network.
        max_side: Longest side that images are to be segmented with, pixels, a multiple of `STEP`.
    """
    return Subject(
        name=LGSA,
        task=SEGMENTATION_TASK,
        graph=SegmentationGraph(trained.network),
        input=AnySize(STEP, max_side),
        output_stride=trained.network.output_stride,
        class_names=trained.class_names,
        training_data=trained.training_data,
        probes=segmentation_probes,
        rounding_limit=ROUNDING_LIMIT,
    )


def segmentation_probes(images: Sequence[NDArray[np.uint8]]) -> tuple[Probe, ...]:
    """Returns photographs at several sizes and batch sizes, each padded as an image is that does not fit.

    Args:
        images: uint8 RGB, ``(H, W, 3)``, one at least.
    """
    return tuple(
        Probe(f"batch {batch}, {width} x {height} pixels", ({"image": _batch(images, batch, width, height)},))
        for width, height in SIZES
        for batch in BATCHES
    )


def _batch(images: Sequence[NDArray[np.uint8]], count: int, width: int, height: int) -> NDArray[np.uint8]:
    shown = width - MARGIN[0], height - MARGIN[1]
    chosen = [images[index % len(images)] for index in range(count)]
    return np.stack(
        [draw(image, Canvas(image.shape[1], image.shape[0], shown, (width, height))) for image in chosen]
    )
