"""The loss-guided self-attention module (Xie et al. 2020, section 3.3, figure 3)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from boxmask_training.models.attention import reweight


class Affinity(NamedTuple):
    """The two factors of an affinity matrix W = softmax(theta^T phi), which is never held itself.

    Attributes:
        theta: Queries, ``(B, d, h, w)``.
        phi: Keys, ``(B, d, h, w)``.
    """

    theta: Tensor
    phi: Tensor


class LGSA(nn.Module):
    """Reweights features by their affinity: Z = h(W . g(X)) + X (equations 4 and 5).

    Without the loss on W this is the Non-local block (Wang et al. 2018, embedded Gaussian), so that the two
    differ in nothing else.

    Args:
        channels: Channels of the features.
        inner_channels: Channels C' of theta, phi and g.
    """

    def __init__(self, channels: int, inner_channels: int) -> None:
        super().__init__()
        self.theta = nn.Conv2d(channels, inner_channels, 1)
        self.phi = nn.Conv2d(channels, inner_channels, 1)
        self.g = nn.Conv2d(channels, inner_channels, 1)
        self.h = nn.Conv2d(inner_channels, channels, 1)
        nn.init.zeros_(self.h.weight)
        if self.h.bias is not None:
            nn.init.zeros_(self.h.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Affinity]:
        """Maps ``(B, channels, h, w)`` to features of the same shape and the affinity they came from."""
        affinity = Affinity(self.theta(x), self.phi(x))
        z: Tensor = self.h(reweight(*affinity, self.g(x))) + x
        return z, affinity
