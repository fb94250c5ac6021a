"""Losses of CFS: pure functions of logits and targets, each a mean over pixels and batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Pixel-wise cross-entropy (Xie et al. 2020, equation 3).

    Args:
        logits: Foreground logits, ``(B, H, W)``.
        target: M_exp, 0 to 1, ``(B, H, W)``.
    """
    return F.binary_cross_entropy_with_logits(logits, target)


def generalized_cross_entropy(logits: Tensor, target: Tensor, q: float) -> Tensor:
    """Cross-entropy that trusts no single label fully: ``(1 - p_target^q) / q``.

    Tends to cross-entropy as q goes to 0 and is the mean absolute error at q = 1. A pixel that the network
    confidently contradicts pulls less, which is what wrong proposals deserve (Zhang and Sabuncu 2018).

    Args:
        logits: Foreground logits, ``(B, H, W)``.
        target: M_exp, 0 to 1, ``(B, H, W)``.
        q: Between 0 (exclusive) and 1.
    """
    probability = torch.sigmoid(logits)
    agreed = target * probability + (1 - target) * (1 - probability)
    return ((1 - agreed.clamp_min(1e-6) ** q) / q).mean()


def projection(logits: Tensor, box_mask: Tensor) -> Tensor:
    """How far the mask is from touching all four sides of its box: 0 where it does, up to 2.

    One minus the Dice coefficient between the mask's and the box's projections on both axes (Tian et al.
    2021, BoxInst, equation 3). Needs no proposal, so no proposal's noise enters it.

    Args:
        logits: Foreground logits, ``(B, H, W)``.
        box_mask: B_exp, 0 or 1, ``(B, H, W)``.
    """
    probability = torch.sigmoid(logits) * box_mask
    loss = logits.new_zeros(())
    for axis in (1, 2):
        mask_side, box_side = probability.amax(axis), box_mask.amax(axis)
        overlap = (mask_side * box_side).sum(1)
        size = mask_side.square().sum(1) + box_side.square().sum(1)
        loss = loss + (1 - 2 * overlap / size.clamp_min(1e-6)).mean()
    return loss
