"""The loss-guided self-attention module (Xie et al. 2020, section 3.3, figure 3)."""

from __future__ import annotations

from typing import NamedTuple, cast

from torch import Tensor, nn

from boxmask_training.models.attention import reweight

EMBEDDING_STD = 0.005
"""Standard deviation that theta's weights start with."""


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
        # The paper does not say how theta and phi start. Small and alike, they make the affinity a soft
        # similarity of features: over a quarter of an image's positions, most to the position itself.
        # PyTorch's own start is so large that every row takes all from one position, the same for most rows.
        nn.init.normal_(self.theta.weight, std=EMBEDDING_STD)
        nn.init.zeros_(cast("Tensor", self.theta.bias))
        self.phi.load_state_dict(self.theta.state_dict())
        nn.init.zeros_(self.h.weight)
        nn.init.zeros_(cast("Tensor", self.h.bias))

    def forward(self, x: Tensor) -> tuple[Tensor, Affinity]:
        """Maps ``(B, channels, h, w)`` to features of the same shape and the affinity they came from."""
        affinity = Affinity(self.theta(x), self.phi(x))
        z: Tensor = self.h(reweight(*affinity, self.g(x))) + x
        return z, affinity
