"""Judging CFS on held-out training images whose true masks are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from boxmask_core.compositing import compose
from boxmask_core.crops import network_crop, probability_in_image
from boxmask_core.evaluation import ConfusionMatrix
from boxmask_core.grabcut import cfs_proposal
from boxmask_core.images import decode
from boxmask_core.instances import InstanceMask
from boxmask_core.palette import decode_indexed_png

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from boxmask_core.instances import ImageRecord
    from boxmask_training.models.cfs import CFS


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Images that training does not see, to judge checkpoints by.

    Attributes:
        records: The images and their boxes.
        truth_root: Folder of their true label maps, ``KEY.png``, 255 void.
        class_names: Classes; the first has index 1 in the label maps.
        judged: Names of the classes whose mean IoU is the judgement, background apart.
    """

    records: tuple[ImageRecord, ...]
    truth_root: Path
    class_names: tuple[str, ...]
    judged: tuple[str, ...]


@torch.no_grad()
def mean_iou(network: CFS, held_out: HeldOut, size: int) -> float:
    """Returns the mean IoU of CFS's own masks (probability > 0.5) over background and the judged classes.

    A class that the truth does not have is left out of the mean.

    Args:
        network: The network; it is put into evaluation mode.
        held_out: The images to judge by.
        size: Side of the network's input, pixels.
    """
    return mean_ious(network, held_out, size, offsets=(0.0,))[0]


@torch.no_grad()
def mean_ious(network: CFS, held_out: HeldOut, size: int, offsets: Sequence[float]) -> list[float]:
    """Returns `mean_iou` as it would be with each offset added to every logit.

    Args:
        network: The network; it is put into evaluation mode.
        held_out: The images to judge by.
        size: Side of the network's input, pixels.
        offsets: What to add to the logits.
    """
    network.eval()
    indices = {name: index + 1 for index, name in enumerate(held_out.class_names)}
    matrices = [ConfusionMatrix(len(held_out.class_names) + 1) for _ in offsets]
    for record in held_out.records:
        image = decode(record.path.read_bytes(), what=str(record.path))
        height, width = image.shape[:2]
        truth = decode_indexed_png((held_out.truth_root / f"{record.key}.png").read_bytes())
        logits = predict(network, image, record, indices, size)
        for offset, matrix in zip(offsets, matrices, strict=True):
            masks = _masks(image, record, logits + np.float32(offset))
            matrix.update(compose(width, height, masks, indices).classes, truth)
    chosen = [0, *(indices[name] for name in held_out.judged)]
    return [matrix.mean_iou(chosen) for matrix in matrices]


def predict(
    network: CFS, image: NDArray[np.uint8], record: ImageRecord, indices: dict[str, int], size: int
) -> NDArray[np.float32]:
    """Returns the foreground logits of every box of an image, ``(boxes, size, size)``.

    Args:
        network: The network.
        image: uint8 RGB, ``(H, W, 3)``.
        record: The image's boxes.
        indices: 1-based index of every class; another class gets the all-zero class vector.
        size: Side of the network's input, pixels.
    """
    if not record.instances:
        return np.empty((0, size, size), dtype=np.float32)
    device = next(network.parameters()).device
    crops = [network_crop(image, instance.box, size) for instance in record.instances]
    pixels = torch.from_numpy(np.stack([crop.pixels for crop in crops])).permute(0, 3, 1, 2).float()
    boxes = torch.from_numpy(np.stack([crop.box_mask for crop in crops]))[:, None].float()
    labels = torch.zeros(len(crops), len(indices))
    for row, instance in enumerate(record.instances):
        if instance.class_name in indices:
            labels[row, indices[instance.class_name] - 1] = 1
    logits: Tensor = network(pixels.to(device), boxes.to(device), labels.to(device))
    return logits.float().cpu().numpy()


def _masks(image: NDArray[np.uint8], record: ImageRecord, logits: NDArray[np.float32]) -> list[InstanceMask]:
    height, width = image.shape[:2]
    masks = []
    probabilities = torch.sigmoid(torch.from_numpy(logits)).numpy()
    for instance, answer in zip(record.instances, probabilities, strict=True):
        window = instance.box.expanded_window(width, height)
        probability, visible = probability_in_image(answer, window, (width, height))
        masks.append(InstanceMask(instance, cfs_proposal(image, instance.box, probability, visible), 0.0))
    return masks
