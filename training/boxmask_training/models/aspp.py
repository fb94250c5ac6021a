"""Atrous spatial pyramid pooling as DeepLab-v2 has it (Chen et al. 2017)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

RATES = (6, 12, 18, 24)


class ASPP(nn.Module):
    """The classifier: parallel 3x3 convolutions at several rates, summed.

    Args:
        channels: Channels of the features.
        num_classes: Number of scores, the background's included.
        rates: Dilation of each convolution, feature cells.
    """

    def __init__(self, channels: int, num_classes: int, rates: tuple[int, ...] = RATES) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(channels, num_classes, 3, padding=rate, dilation=rate) for rate in rates
        )
        for branch in self.branches:
            nn.init.normal_(cast("Tensor", branch.weight), std=0.01)
            nn.init.zeros_(cast("Tensor", branch.bias))

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, channels, h, w)`` to scores ``(B, num_classes, h, w)``."""
        return torch.stack([branch(x) for branch in self.branches]).sum(0)
