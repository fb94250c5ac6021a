"""The loss of LGSA-DeepLab: cross-entropy of the scores plus the guidance of the attention (equation 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from boxmask_training.affinity_loss import VOID, affinity_loss, alpha_at

if TYPE_CHECKING:
    from torch import Tensor

    from boxmask_training.lgsa_settings import LgsaSettings
    from boxmask_training.models.deeplab import Segmentation

SMALLER_SCALES = (0.75, 0.5)
"""Inputs of the multi-scale loss beside the full one (DeepLab-v2, Chen et al. 2017)."""


def segmentation_loss(model: Any, image: Tensor, labels: Tensor, settings: LgsaSettings) -> Tensor:
    """Computes the loss of a batch.

    Args:
        model: DeepLab, or its wrapper.
        image: Float RGB 0 to 255, ``(B, 3, S, S)``, S a multiple of the output stride.
        labels: Class indices, uint8, ``(B, S, S)``, 255 void.
        settings: Says which loss.

    Returns:
        Scalar. 0, with gradients of 0, where all is void.
    """
    if not settings.multi_scale:
        return single_scale_loss(model(image), labels, settings)
    out = model(image)
    losses = [single_scale_loss(out, labels, settings)]
    fused = out.scores.float()
    for scale in SMALLER_SCALES:
        side = round(image.shape[-1] * scale / settings.output_stride) * settings.output_stride
        smaller = F.interpolate(image, size=(side, side), mode="bilinear", align_corners=False)
        out = model(smaller)
        losses.append(single_scale_loss(out, _nearest(labels, side), settings))
        scores = F.interpolate(out.scores.float(), fused.shape[2:], mode="bilinear", align_corners=False)
        fused = torch.maximum(fused, scores)
    return torch.stack([*losses, score_loss(fused, labels, settings)]).sum()


def single_scale_loss(out: Segmentation, labels: Tensor, settings: LgsaSettings) -> Tensor:
    """Returns the cross-entropy plus alpha times the affinity loss of every module.

    Args:
        out: What the network says.
        labels: Class indices at the input's size, uint8, ``(B, H, W)``.
        settings: Says which loss.
    """
    loss = score_loss(out.scores.float(), labels, settings)
    if not settings.guided:
        return loss
    cells = labels_of_cells(labels, settings.output_stride)
    alpha = alpha_at(settings.alpha, cells[0].numel())
    for affinity in out.affinities:
        loss = loss + alpha * affinity_loss(affinity.theta, affinity.phi, cells)
    return loss


def score_loss(scores: Tensor, labels: Tensor, settings: LgsaSettings) -> Tensor:
    """Returns the mean cross-entropy over the places that have a class; 0 if none has.

    Args:
        scores: Class scores, ``(B, classes, h, w)``.
        labels: Class indices at the input's size, uint8, ``(B, H, W)``.
        settings: Says where scores and labels are compared.
    """
    wanted = labels_of_cells(labels, settings.score_stride).long()
    if settings.score_stride < settings.output_stride:
        scores = F.interpolate(scores, size=wanted.shape[1:], mode="bilinear", align_corners=False)
    total = F.cross_entropy(scores, wanted, ignore_index=VOID, reduction="sum")
    return total / (wanted != VOID).sum().clamp(min=1)


def labels_of_cells(labels: Tensor, stride: int) -> Tensor:
    """Returns the label of the pixel at the middle of every cell, ``(B, H / stride, W / stride)``."""
    return labels[:, stride // 2 :: stride, stride // 2 :: stride]


def _nearest(labels: Tensor, side: int) -> Tensor:
    return F.interpolate(labels[:, None].float(), size=(side, side), mode="nearest-exact")[:, 0].to(
        labels.dtype
    )
