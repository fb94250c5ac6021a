"""Both networks over a backbone small enough to be exported in seconds, with what the real ones have.

Some of their tensors are large enough to be stored as float16, others are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from boxmask_training.checkpoint import TrainedCfs, TrainedLgsa
from boxmask_training.lgsa_settings import LgsaSettings
from boxmask_training.models.aspp import ASPP
from boxmask_training.models.cfs import CFS, ConvNormRelu
from boxmask_training.models.deeplab import DeepLab
from boxmask_training.models.lgsa import LGSA

if TYPE_CHECKING:
    from collections.abc import Mapping

CLASS_NAMES = ("cat", "cup", "person")
SIZE = 64
STRIDE = 8
MAX_SIDE = 256
INNER_CHANNELS = 16
SOURCE = "sha256:" + "1" * 64


class TinyBackbone(nn.Module):
    channels = (6, 8, 12, 40, 64)
    stem_channels = 6
    mean = (123.7, 116.3, 103.5)
    std = (58.4, 57.1, 57.4)

    def __init__(self, output_stride: int = 32) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU6())
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.MaxPool2d(2) if stride <= output_stride else nn.Identity(), ConvNormRelu(inputs, outputs)
            )
            for stride, inputs, outputs in zip((4, 8, 16, 32), self.channels, self.channels[1:], strict=False)
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
    torch.manual_seed(seed)
    network = CFS(TinyBackbone(), len(CLASS_NAMES), decoder_channels=(48, 10, 8, 6)).eval()
    _randomise_norms(network)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "constraint" in name:
                weight.normal_(0, 0.3)
    return TrainedCfs(network, CLASS_NAMES, SIZE, "nothing: random weights", {})


def tiny_segmenter(modules: int = 2, *, walk: bool = True) -> TrainedLgsa:
    """Attention that is neither even nor all on one cell, and scores that tell classes apart."""
    torch.manual_seed(3)
    channels, num_classes = TinyBackbone.channels[-1], len(CLASS_NAMES) + 1
    attention = [LGSA(channels, INNER_CHANNELS) for _ in range(modules)]
    classifier = ASPP(channels, num_classes)
    network = DeepLab(TinyBackbone(STRIDE), attention, classifier, STRIDE, walk=walk).eval()
    _randomise_norms(network)
    with torch.no_grad():
        for module in attention:
            module.theta.weight.normal_(0, 0.3)
            module.phi.weight.normal_(0, 0.3)
            module.h.weight.normal_(0, 0.3)
        for weight in classifier.parameters():
            weight.mul_(10)
    settings = LgsaSettings(output_stride=STRIDE, modules=max(modules, 1), walk=walk)
    return TrainedLgsa(network, CLASS_NAMES, "nothing: random weights", settings)


def _randomise_norms(network: nn.Module) -> None:
    """Gives norms statistics and scales that are not the trivial ones."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
                module.weight.uniform_(0.5, 2)
                module.bias.normal_(0, 0.3)
                module.running_mean.normal_(0, 0.3)
                module.get_buffer("running_var").uniform_(0.3, 2)
