"""ResNet-50 and ResNet-101 as feature extractors, from torchvision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, ResNet101_Weights, resnet50, resnet101

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCES = {
    50: (resnet50, ResNet50_Weights.IMAGENET1K_V1),
    101: (resnet101, ResNet101_Weights.IMAGENET1K_V1),
}


class ResNet(nn.Module):
    """The feature extractor: five levels at strides 2, 4, 8, 16, 32 (He et al. 2016).

    Args:
        depth: Number of layers.
        output_stride: 32, 16 or 8. Below 32 the last levels keep their resolution and dilate every 3x3
            convolution instead, by 2 and, at 8, by 4 (DeepLab, Chen et al. 2017).

    Attributes:
        channels: Channels of the five levels.
        stem_channels: Channels after the stem, stride 2.
        mean: RGB mean, 0 to 255, that its weights were trained with.
        std: RGB standard deviation likewise.
    """

    channels = (64, 256, 512, 1024, 2048)
    stem_channels = 64
    mean = (123.675, 116.28, 103.53)
    std = (58.395, 57.12, 57.375)

    def __init__(self, depth: Literal[50, 101], output_stride: int = 32) -> None:
        super().__init__()
        build, self._weights = SOURCES[depth]
        net = build()
        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu)
        self.maxpool = net.maxpool
        self.levels = nn.ModuleList([net.layer1, net.layer2, net.layer3, net.layer4])
        for level, stride in zip(self.levels, (4, 8, 16, 32), strict=True):
            if stride > output_stride:
                _dilate(level, stride // output_stride)

    def forward(self, stem: Tensor) -> list[Tensor]:
        """Returns the five levels, finest first, from the stem's ``(B, 64, H/2, W/2)``."""
        features = [stem]
        x = self.maxpool(stem)
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features

    def load_imagenet(self, state: Mapping[str, Tensor]) -> None:
        """Loads ImageNet weights in torchvision's naming; the classifier is left out.

        Args:
            state: torchvision's state dict of a ResNet of this depth.

        Raises:
            RuntimeError: A weight is missing or of another shape.
        """
        places = {"conv1": "stem.0", "bn1": "stem.1"} | {f"layer{i + 1}": f"levels.{i}" for i in range(4)}
        renamed = {}
        for name, value in state.items():
            head, _, leaf = name.partition(".")
            if head in places:
                renamed[f"{places[head]}.{leaf}"] = value
        self.load_state_dict(renamed)

    def imagenet_weights(self) -> Mapping[str, Tensor]:
        """Returns torchvision's ImageNet weights by name; downloads them on first use.

        Raises:
            OSError: They are not there yet, and the download fails.
        """
        state: Mapping[str, Tensor] = self._weights.get_state_dict(progress=True)
        return state


def _dilate(level: nn.Module, dilation: int) -> None:
    """Takes the strides out of a level and dilates its 3x3 convolutions."""
    for module in level.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        module.stride = (1, 1)
        if module.kernel_size == (3, 3):
            module.dilation = module.padding = (dilation, dilation)
