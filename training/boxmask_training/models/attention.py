"""The affinity of LGSA and what is done with it, in memory linear in the number of positions.

W = softmax(theta^T phi), row by row, with no 1/sqrt(d) (Xie et al. 2020, equation 4). It is never held:
PyTorch's fused attention takes it in tiles, on the CPU as on CUDA.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor

WIDTH_STEP = 8


def reweight(theta: Tensor, phi: Tensor, values: Tensor) -> Tensor:
    """Returns ``W . values``: every position becomes the mean of all, weighted by its affinity to them.

    Equation 5 with ``g(X)`` as values; equation 8, the random walk, with the scores.

    Args:
        theta: Queries, ``(B, d, h, w)``.
        phi: Keys, ``(B, d, h, w)``.
        values: What is averaged, ``(B, c, h, w)``.

    Returns:
        ``(B, c, h, w)``.
    """
    batch, channels, height, breadth = values.shape
    # The fused kernels want one width for all three, CUDA's a multiple of 8; zeros change neither affinity
    # nor mean.
    width = -(-max(channels, theta.shape[1]) // WIDTH_STEP) * WIDTH_STEP
    queries, keys, padded = (_rows(part, width) for part in (theta, phi, values))
    out = F.scaled_dot_product_attention(queries, keys, padded, scale=1.0)
    return out[:, 0, :, :channels].transpose(1, 2).reshape(batch, channels, height, breadth)


def _rows(part: Tensor, width: int) -> Tensor:
    """Turns ``(B, c, h, w)`` into ``(B, 1, h * w, width)``, padded with zeros."""
    rows = part.flatten(2).transpose(1, 2).unsqueeze(1)
    return F.pad(rows, (0, width - rows.shape[-1])) if width > rows.shape[-1] else rows
