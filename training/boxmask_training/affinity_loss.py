"""The loss that guides the attention: the mean squared error between W and its ideal (equations 6 and 7).

The ideal W_gt shares a row's weight evenly among the positions of the row's class. Positions without a class
(void) are left out as rows and as columns; W itself is a softmax over all positions, as in the network.

Two implementations of one function: `dense_affinity_loss` holds the matrices and is there to be read and
compared with; `affinity_loss` takes a block of rows at a time, so that its memory is linear in the number of
positions. It is the same on CUDA: with the paper's batch of 10 on 41 x 41 positions, three products of 256
channels are 44 GFLOP beside some 3 TFLOP of ResNet-101: a fused kernel could gain nothing that shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from torch import Tensor

VOID = 255
REFERENCE_POSITIONS = 41 * 41
"""Positions at which the paper states alpha: a crop of 321 pixels at output stride 8."""
BLOCK_ELEMENTS = 1 << 18
"""Elements of one block of W: 1 MiB in float32, which stays in the cache of most machines."""
BLOCK_ROWS = 128
"""Rows that a block has at least: with fewer, adding up phi's gradient costs more than the block itself."""


def alpha_at(alpha: float, positions: int) -> float:
    """Converts the paper's alpha to another number of positions.

    The loss is a mean over N^2 entries, while the squared errors of a picture's affinity sum to about the
    same on any grid: a row's weight is shared by more columns, each of less error. Scaling alpha with N^2
    keeps the balance of the two losses when crop or output stride changes.

    Args:
        alpha: Weight of the loss at `REFERENCE_POSITIONS`, 10 000 in the paper.
        positions: Number of positions N of the feature grid.
    """
    return alpha * (positions / REFERENCE_POSITIONS) ** 2


def dense_affinity_loss(theta: Tensor, phi: Tensor, labels: Tensor) -> Tensor:
    """Returns MSE(W, W_gt), holding N x N matrices.

    Args:
        theta: Queries, ``(B, d, N)`` or ``(B, d, h, w)``.
        phi: Keys, of the same shape.
        labels: Class indices, integer, ``(B, N)`` or ``(B, h, w)``; 255 is void.

    Returns:
        Scalar: the mean over an image's pairs of positions with a class, averaged over the images that have
        any; 0 if none has.
    """
    theta, phi, labels = theta.flatten(2), phi.flatten(2), labels.flatten(1)
    affinity = torch.softmax(theta.transpose(1, 2) @ phi, dim=2)
    known = labels != VOID
    ideal = (labels[:, :, None] == labels[:, None, :]).to(affinity.dtype)
    ideal = ideal / ideal.sum(dim=2, keepdim=True)
    pairs = known[:, :, None] & known[:, None, :]
    errors = torch.where(pairs, affinity - ideal, 0).square().sum(dim=(1, 2))
    count = known.sum(dim=1)
    return (errors / count.clamp(min=1).square()).sum() / (count > 0).sum().clamp(min=1)


def affinity_loss(theta: Tensor, phi: Tensor, labels: Tensor) -> Tensor:
    """Returns MSE(W, W_gt) in memory linear in N; value and gradients are those of `dense_affinity_loss`.

    Args:
        theta: Queries, ``(B, d, N)`` or ``(B, d, h, w)``.
        phi: Keys, of the same shape.
        labels: Class indices, integer, ``(B, N)`` or ``(B, h, w)``; 255 is void.

    Returns:
        Scalar. Half precision is computed in float32; the gradient can be taken once.
    """
    if theta.dtype in (torch.float16, torch.bfloat16):
        theta, phi = theta.float(), phi.float()
    with torch.autocast(theta.device.type, enabled=False):
        loss: Tensor = _AffinityLoss.apply(theta.flatten(2), phi.flatten(2), labels.flatten(1))
    return loss


class _AffinityLoss(torch.autograd.Function):
    """Computes the gradients together with the value, block by block, so that no block is computed twice.

    With E = W - W_gt on pairs that count and 0 elsewhere, and r_i = sum_k W_ik E_ik, the gradient by the
    logits S = theta^T phi is 2 W_ij (E_ij - r_i), which needs nothing but the row.
    """

    @staticmethod
    def forward(ctx: Any, theta: Tensor, phi: Tensor, labels: Tensor) -> Tensor:
        wanted = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        known = labels != VOID
        count = known.sum(dim=1)
        images = (count > 0).sum().clamp(min=1)
        weight = 1 / (count.clamp(min=1).to(theta.dtype).square() * images)
        share = _class_shares(labels, theta.dtype)
        queries = theta.transpose(1, 2)
        grad_theta, grad_phi = torch.zeros_like(queries), torch.zeros_like(phi)
        total = torch.zeros(len(theta), dtype=torch.float64, device=theta.device)
        batch, positions = labels.shape
        step = max(BLOCK_ROWS, BLOCK_ELEMENTS // max(batch * positions, 1))
        for start in range(0, positions, step):
            rows = slice(start, start + step)
            affinity = torch.softmax(queries[:, rows] @ phi, dim=2)
            same = labels[:, rows, None] == labels[:, None, :]
            error = affinity - same * share[:, rows, None]
            error *= known[:, rows, None] & known[:, None, :]
            total += error.square().sum(dim=(1, 2))
            if wanted:
                error -= (affinity * error).sum(dim=2, keepdim=True)
                error *= affinity
                grad_theta[:, rows] = error @ phi.transpose(1, 2)
                grad_phi.baddbmm_(queries[:, rows].transpose(1, 2), error)
        if wanted:
            scale = 2 * weight[:, None, None]
            ctx.save_for_backward(grad_theta.transpose(1, 2) * scale, grad_phi * scale)
        return (total.to(theta.dtype) * weight).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        grad_theta, grad_phi = ctx.saved_tensors
        return grad * grad_theta, grad * grad_phi, None


def _class_shares(labels: Tensor, dtype: torch.dtype) -> Tensor:
    """Returns for every position one over the number of positions of its class and image, ``(B, N)``."""
    counts = torch.zeros(len(labels), VOID + 1, dtype=dtype, device=labels.device)
    indices = labels.long()
    counts.scatter_add_(1, indices, torch.ones_like(indices, dtype=dtype))
    return 1 / counts.gather(1, indices)
