"""What the networks ask of a feature extractor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Backbone(Protocol):
    """A feature extractor of five levels."""

    @property
    def stem(self) -> nn.Module:
        """The layers before the first level, stride 2; they take the normalised image."""

    @property
    def channels(self) -> Sequence[int]:
        """Channels of the five levels."""

    @property
    def stem_channels(self) -> int:
        """Channels after the stem, stride 2."""

    @property
    def mean(self) -> Sequence[float]:
        """RGB mean, 0 to 255."""

    @property
    def std(self) -> Sequence[float]:
        """RGB standard deviation, 0 to 255."""

    @property
    def __call__(self) -> Callable[[Tensor], list[Tensor]]:
        """Returns five levels at strides 2, 4, 8, 16, 32 from the stem's output.

        Where the extractor was built with a smaller output stride, no level's stride exceeds it.
        """

    def load_imagenet(self, state: Mapping[str, Tensor]) -> None:
        """Loads ImageNet weights in the naming of their usual source.

        Raises:
            RuntimeError: A weight is missing or of another shape.
        """

    def imagenet_weights(self) -> Mapping[str, Tensor]:
        """Returns ImageNet weights from their usual source.

        Raises:
            OSError: The source cannot be reached.
        """


class Normalize(nn.Module):
    """Turns RGB of 0 to 255 into the range that the backbone was trained with."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Normalises float RGB ``(B, 3, H, W)``."""
        return (image - cast("Tensor", self.mean)) / cast("Tensor", self.std)
