"""The parity check: ONNX Runtime against PyTorch on real crops, and a limit that it must hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import torch

from boxmask_core.boxes import Box
from boxmask_core.crops import network_crop
from boxmask_core.errors import BoxmaskError
from boxmask_export.graph import INPUTS, OUTPUT, CfsGraph

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_training.checkpoint import TrainedCfs

LIMIT = 1e-3
BATCHES = (1, 5)


class ParityError(BoxmaskError):
    """The exported graph does not compute what the network computes.

    Args:
        error: Largest absolute difference of a probability.
        limit: What is allowed.
        batch: Batch size at which it appeared.
    """

    def __init__(self, error: float, limit: float, batch: int) -> None:
        super().__init__(
            f"ONNX Runtime and PyTorch differ by {error:.2e} at batch size {batch}, the limit is {limit:.0e}; "
            "no bundle was written. With --half-weights, try without; otherwise report it with the checkpoint"
        )


@dataclass(frozen=True, slots=True)
class Parity:
    """What the check measured.

    Attributes:
        errors: Largest absolute difference of a probability, by batch size.
        crops: Number of crops compared.
    """

    errors: dict[int, float]
    crops: int

    @property
    def worst(self) -> float:
        """The largest of them."""
        return max(self.errors.values())


def check_parity(
    trained: TrainedCfs, file: Path, images: Sequence[NDArray[np.uint8]], *, limit: float = LIMIT
) -> Parity:
    """Compares ONNX Runtime's CPU provider with PyTorch on crops of the images.

    Args:
        trained: The network that was exported.
        file: The exported graph.
        images: uint8 RGB images, ``(H, W, 3)``, one at least.
        limit: Largest difference allowed.

    Raises:
        ParityError: A probability differs by more than the limit, or is not finite.
    """
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    network = CfsGraph(trained.network).eval()
    feeds = _crops(images, trained.input_size, len(trained.class_names), max(BATCHES) * 2)
    errors: dict[int, float] = {}
    for batch in BATCHES:
        worst = 0.0
        for start in range(0, len(feeds["image"]), batch):
            feed = {name: feeds[name][start : start + batch] for name in INPUTS}
            with torch.no_grad():
                expected = network(**{name: torch.from_numpy(value) for name, value in feed.items()}).numpy()
            (found,) = session.run([OUTPUT], feed)
            difference = float(np.abs(np.asarray(found) - expected).max())
            worst = max(worst, difference)
            if not difference <= limit:  # also catches NaN
                raise ParityError(difference, limit, batch)
        errors[batch] = worst
    return Parity(errors, len(feeds["image"]))


def _crops(
    images: Sequence[NDArray[np.uint8]], size: int, num_classes: int, count: int
) -> dict[str, NDArray[np.generic]]:
    """Cuts boxes of many shapes out of the images, some reaching beyond them, some without a class."""
    rng = np.random.default_rng(0)
    pixels, masks = [], []
    for index in range(count):
        image = images[index % len(images)]
        height, width = image.shape[:2]
        x0, y0 = rng.uniform(0, 0.6, size=2)
        side_x, side_y = rng.uniform(0.2, 0.6, size=2)
        box = Box(x0 * width, y0 * height, (x0 + side_x) * width, (y0 + side_y) * height)
        crop = network_crop(image, box, size)
        pixels.append(crop.pixels)
        masks.append(crop.box_mask)
    labels = np.zeros((count, num_classes), dtype=np.float32)
    known = np.arange(count) % 3 > 0
    labels[np.flatnonzero(known), rng.integers(0, num_classes, size=int(known.sum()))] = 1
    return {"image": np.stack(pixels), "box_mask": np.stack(masks), "label": labels}
