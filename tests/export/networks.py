"""CFS over a backbone small enough to be exported in seconds, with what the real ones have.

Some of its tensors are large enough to be stored as float16, others are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from boxmask_training.checkpoint import TrainedCfs
from boxmask_training.models.cfs import CFS, ConvNormRelu

if TYPE_CHECKING:
    from collections.abc import Mapping

CLASS_NAMES = ("cat", "cup", "person")
SIZE = 64
SOURCE = "sha256:" + "1" * 64


class TinyBackbone(nn.Module):
    channels = (6, 8, 12, 40, 64)
    stem_channels = 6
    mean = (123.7, 116.3, 103.5)
    std = (58.4, 57.1, 57.4)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU6())
        self.levels = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2), ConvNormRelu(inputs, outputs))
            for inputs, outputs in zip(self.channels, self.channels[1:], strict=False)
        )

    def forward(self, stem: Tensor) -> list[Tensor]:
        features = [stem]
        for level in self.levels:
            features.append(level(features[-1]))
        return features

    def load_imagenet(self, state: Mapping[str, Tensor]) -> None:
        self.load_state_dict(dict(state))

    @staticmethod
    def imagenet_weights() -> Mapping[str, Tensor]:
        return TinyBackbone().state_dict()


def tiny_trained(seed: int = 0) -> TrainedCfs:
    """Random weights, and norms whose statistics and scales are not the trivial ones."""
    torch.manual_seed(seed)
    network = CFS(TinyBackbone(), len(CLASS_NAMES), decoder_channels=(48, 10, 8, 6)).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
                module.weight.uniform_(0.5, 2)
                module.bias.normal_(0, 0.3)
                module.running_mean.normal_(0, 0.3)
                module.get_buffer("running_var").uniform_(0.3, 2)
        for name, weight in network.named_parameters():
            if "constraint" in name:
                weight.normal_(0, 0.3)
    return TrainedCfs(network, CLASS_NAMES, SIZE, "nothing: random weights", {})
