"""CFS: the constrained foreground segmentation network (Xie et al. 2020, section 3.2, figure 2)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from boxmask_training.models.backbone import Normalize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxmask_training.models.backbone import Backbone


class Constraint(nn.Module):
    """The skip connection that feeds box mask and class to a layer: they are embedded and added.

    Adding an embedding is what concatenating the inputs before a convolution computes, without the copy.
    It starts at zero, so a pretrained layer starts undisturbed.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.box = nn.Conv2d(1, channels, 3, padding=1)
        self.label = nn.Linear(num_classes, channels, bias=False)
        for weight in self.parameters():
            nn.init.zeros_(weight)

    def forward(self, features: Tensor, box_mask: Tensor, label: Tensor) -> Tensor:
        """Constrains features.

        Args:
            features: ``(B, channels, h, w)``.
            box_mask: B_exp, ``(B, 1, H, W)`` with H and W multiples of h and w.
            label: One-hot class y, ``(B, num_classes)``; all zero where the class is unknown.
        """
        box = F.avg_pool2d(box_mask, box_mask.shape[-1] // features.shape[-1])
        constrained: Tensor = features + self.box(box) + self.label(label)[:, :, None, None]
        return constrained


class ConvNormRelu(nn.Sequential):
    """3x3 convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class UpBlock(nn.Module):
    """One step of the U: upsample, concatenate the backbone's level, constrain, convolve."""

    def __init__(self, inputs: int, skip: int, outputs: int, num_classes: int) -> None:
        super().__init__()
        self.constraint = Constraint(inputs + skip, num_classes)
        self.conv = ConvNormRelu(inputs + skip, outputs)

    def forward(self, x: Tensor, skip: Tensor, box_mask: Tensor, label: Tensor) -> Tensor:
        """Maps ``(B, inputs, h, w)`` and ``(B, skip, 2h, 2w)`` to ``(B, outputs, 2h, 2w)``."""
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        x = self.constraint(torch.cat((x, skip), dim=1), box_mask, label)
        return cast("Tensor", self.conv(x))


class CFS(nn.Module):
    """Segments the one object of an expanded box; box mask and class reach every depth.

    Args:
        backbone: Feature extractor with levels at strides 2 to 32.
        num_classes: Length of the class vector.
        decoder_channels: Channels of the decoder at strides 16, 8, 4 and 2.
    """

    def __init__(self, backbone: Backbone, num_classes: int, decoder_channels: Sequence[int]) -> None:
        super().__init__()
        self.normalize = Normalize(backbone.mean, backbone.std)
        self.backbone = backbone
        self.stem_constraint = Constraint(backbone.stem_channels, num_classes)
        deepest = backbone.channels[-1]
        self.deep_constraint = Constraint(deepest, num_classes)
        widths = pairwise((deepest, *decoder_channels))
        skips = reversed(backbone.channels[:-1])
        self.decoder = nn.ModuleList(
            UpBlock(inputs, skip, outputs, num_classes)
            for (inputs, outputs), skip in zip(widths, skips, strict=True)
        )
        self.head = nn.Conv2d(decoder_channels[-1], 1, 1)

    def forward(self, image: Tensor, box_mask: Tensor, label: Tensor) -> Tensor:
        """Computes the foreground logit of every pixel.

        The logit is the difference of the two classes' scores: its sigmoid is their softmax.

        Args:
            image: I_exp, float RGB 0 to 255, ``(B, 3, H, W)``, H and W multiples of 32.
            box_mask: B_exp, float 0 or 1, ``(B, 1, H, W)``.
            label: One-hot y, float, ``(B, num_classes)``; all zero where the class is unknown.

        Returns:
            Logits, ``(B, H, W)``.
        """
        stem = self.stem_constraint(self.backbone.stem(self.normalize(image)), box_mask, label)
        *skips, x = self.backbone(stem)
        x = self.deep_constraint(x, box_mask, label)
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            x = block(x, skip, box_mask, label)
        logits = F.interpolate(self.head(x), scale_factor=2.0, mode="bilinear", align_corners=False)
        return logits[:, 0]
