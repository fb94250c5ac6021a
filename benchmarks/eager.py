"""The plain peer: what a first script for the same job looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import onnx
import torch
from onnx import numpy_helper
from PIL import Image
from torch import Tensor, nn

from boxmask_core.crops import network_crop, probability_in_image
from boxmask_core.instances import ImageRecord
from boxmask_training.models.build import build_cfs

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_core.boxes import Box, Window
    from boxmask_core.bundle import Bundle
    from boxmask_core.formats.interface import DetectionDataset
    from boxmask_training.models.cfs import CFS

GRABCUT_ITERATIONS = 5


def eager_cfs(bundle: Bundle, backbone: str = "efficientnet_lite0") -> CFS:
    """Rebuilds the bundle's network in PyTorch, from the weights in its graph.

    The exporter folds each batch norm into the convolution before it; here the norm stays as an identity
    with the folded bias, so the eager network computes the same numbers with the layers of training.

    Args:
        bundle: Holds the network ``cfs``.
        backbone: What it was built with.
    """
    graph = onnx.load(str(bundle.network("cfs").file)).graph
    stored = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer
    }
    for node in graph.node:  # float16 weights are cast back by the graph
        if node.op_type == "Cast" and node.input[0] in stored:
            stored[node.output[0]] = stored[node.input[0]].float()
    biases = {node.input[1]: stored[node.input[2]] for node in graph.node if _has_bias(node)}
    network = build_cfs(backbone, len(bundle.class_names))
    pending: Tensor | None = None
    with torch.no_grad():
        for name, module in network.named_modules():
            weight = f"network.{name}.weight"
            if isinstance(module, nn.Conv2d):
                module.weight.copy_(stored[weight])
                pending = biases[weight]
                if module.bias is not None:
                    module.bias.copy_(pending)
            elif isinstance(module, nn.BatchNorm2d) and pending is not None:
                module.weight.fill_(1.0)
                module.bias.copy_(pending)
                module.running_mean = torch.zeros_like(pending)
                module.running_var = torch.full_like(pending, 1 - module.eps)
            elif isinstance(module, nn.Linear):
                module.weight.copy_(stored[weight].reshape(module.weight.shape))
    return network.eval()


def sequential_conversion(dataset: DetectionDataset, limit: int, network: CFS, size: int, out: Path) -> int:
    """Converts images one at a time and boxes one at a time: PyTorch eager, whole-image GrabCut.

    Args:
        dataset: Images and boxes.
        limit: How many images.
        network: CFS in PyTorch.
        size: Side of its input, pixels.
        out: Folder for the label maps.

    Returns:
        Number of boxes.
    """
    boxes = 0
    out.mkdir(parents=True, exist_ok=True)
    indices = {name: index + 1 for index, name in enumerate(dataset.class_names)}
    records = [record for record in dataset if isinstance(record, ImageRecord)][:limit]
    for record in records:
        image = np.asarray(Image.open(record.path).convert("RGB"))
        labels = np.zeros(image.shape[:2], dtype=np.uint8)
        for instance in sorted(record.instances, key=lambda one: -one.box.area):
            label = torch.zeros(1, len(indices))
            label[0, indices[instance.class_name] - 1] = 1
            labels[one_mask(image, instance.box, label, network, size)] = indices[instance.class_name]
            boxes += 1
        Image.fromarray(labels).save(out / f"{record.key}.png")
    return boxes


@torch.no_grad()
def one_mask(image: NDArray[np.uint8], box: Box, label: Tensor, network: CFS, size: int) -> NDArray[np.bool_]:
    """Returns the refined mask of one box, bool ``(H, W)``."""
    height, width = image.shape[:2]
    crop = network_crop(image, box, size)
    pixels = torch.from_numpy(crop.pixels).permute(2, 0, 1)[None].float()
    logits = network(pixels, torch.from_numpy(crop.box_mask)[None, None].float(), label)
    probability, window = probability_in_image(torch.sigmoid(logits)[0].numpy(), crop.window, (width, height))
    trimap = whole_image_trimap(probability, window, box, (width, height))
    if not (trimap == cv2.GC_FGD).any():
        return np.asarray(trimap != cv2.GC_BGD)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    bgr = np.ascontiguousarray(image[:, :, ::-1])
    cut, _, _ = cv2.grabCut(bgr, trimap, (0, 0, 1, 1), *models, GRABCUT_ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return np.asarray((cut == cv2.GC_FGD) | (cut == cv2.GC_PR_FGD))


def whole_image_trimap(
    probability: NDArray[np.float32], window: Window, box: Box, image_size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Returns the paper's trimap for the whole image, uint8 ``(H, W)`` of OpenCV's labels."""
    width, height = image_size
    trimap = np.full((height, width), cv2.GC_BGD, dtype=np.uint8)
    inside = box.clipped(width, height).window().clipped(width, height)
    part = probability[inside.relative_to(window).slices()]
    view = trimap[inside.slices()]
    view[part >= 0.4] = cv2.GC_PR_FGD
    view[part > 0.6] = cv2.GC_FGD
    return trimap


def _has_bias(node: onnx.NodeProto) -> bool:
    return node.op_type == "Conv" and len(node.input) == 3
