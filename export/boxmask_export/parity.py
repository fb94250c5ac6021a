"""The parity check: ONNX Runtime against PyTorch on real crops, and a limit that it must hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import torch

from boxmask_core.boxes import Box
from boxmask_core.crops import network_crop
from boxmask_core.errors import ParityError
from boxmask_export.graph import INPUTS, OUTPUT, CfsGraph

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from boxmask_training.checkpoint import TrainedCfs

    Feed = Mapping[str, NDArray[np.generic]]

PARITY_LIMIT = 1e-3
"""Largest difference between ONNX Runtime and PyTorch with the same weights."""
ROUNDING_LIMIT = 1e-2
"""Largest difference that float16 weights may make: a twentieth of the trimap's middle band, 0.4 to 0.6."""
BATCHES = (1, 5)
CROPS = 10


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
    trained: TrainedCfs, file: Path, images: Sequence[NDArray[np.uint8]], *, limit: float = PARITY_LIMIT
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
    crops = _crops(images, trained.input_size, len(trained.class_names))
    errors: dict[int, float] = {}
    for batch in BATCHES:
        errors[batch] = 0.0
        for feed in _batches(crops, batch):
            (found,) = session.run([OUTPUT], feed)
            difference = _difference(np.asarray(found), _probabilities(trained, feed))
            if not difference <= limit:  # also catches NaN
                compared = f"ONNX Runtime and PyTorch at batch size {batch}"
                raise ParityError(compared, difference, limit, "report it with the checkpoint")
            errors[batch] = max(errors[batch], difference)
    return Parity(errors, CROPS)


def check_rounding(
    trained: TrainedCfs,
    rounded: TrainedCfs,
    images: Sequence[NDArray[np.uint8]],
    *,
    limit: float = ROUNDING_LIMIT,
) -> float:
    """Measures on crops of the images what rounding the weights changes, in PyTorch alone.

    Args:
        trained: The network as it was trained.
        rounded: The same with rounded weights.
        images: uint8 RGB images, ``(H, W, 3)``, one at least.
        limit: Largest difference allowed.

    Returns:
        Largest absolute difference of a probability.

    Raises:
        ParityError: A probability differs by more than the limit, or is not finite.
    """
    worst = 0.0
    for feed in _batches(_crops(images, trained.input_size, len(trained.class_names)), max(BATCHES)):
        difference = _difference(_probabilities(rounded, feed), _probabilities(trained, feed))
        if not difference <= limit:
            compared = "float16 weights and the trained ones"
            raise ParityError(compared, difference, limit, "export without --half-weights")
        worst = max(worst, difference)
    return worst


def _probabilities(trained: TrainedCfs, feed: Feed) -> NDArray[np.float32]:
    graph = CfsGraph(trained.network).eval()
    with torch.no_grad():
        out: Tensor = graph(**{name: torch.from_numpy(value) for name, value in feed.items()})
    return out.numpy()


def _difference(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    return float(np.abs(first - second).max())


def _batches(crops: Feed, batch: int) -> Iterator[Feed]:
    for start in range(0, CROPS, batch):
        yield {name: crops[name][start : start + batch] for name in INPUTS}


def _crops(images: Sequence[NDArray[np.uint8]], size: int, num_classes: int) -> Feed:
    """Cuts boxes of many shapes out of the images, some reaching beyond them, some without a class."""
    rng = np.random.default_rng(0)
    pixels, masks = [], []
    for index in range(CROPS):
        image = images[index % len(images)]
        height, width = image.shape[:2]
        x0, y0 = rng.uniform(0, 0.6, size=2)
        side_x, side_y = rng.uniform(0.2, 0.6, size=2)
        box = Box(x0 * width, y0 * height, (x0 + side_x) * width, (y0 + side_y) * height)
        crop = network_crop(image, box, size)
        pixels.append(crop.pixels)
        masks.append(crop.box_mask)
    labels = np.zeros((CROPS, num_classes), dtype=np.float32)
    known = np.arange(CROPS) % 3 > 0
    labels[np.flatnonzero(known), rng.integers(0, num_classes, size=int(known.sum()))] = 1
    return {"image": np.stack(pixels), "box_mask": np.stack(masks), "label": labels}
