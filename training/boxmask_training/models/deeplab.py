"""LGSA-DeepLab: DeepLab-v2 with attention modules right after the backbone (Xie et al. 2020, section 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn

from boxmask_training.models.attention import reweight
from boxmask_training.models.backbone import Normalize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxmask_training.models.aspp import ASPP
    from boxmask_training.models.backbone import Backbone
    from boxmask_training.models.lgsa import LGSA, Affinity


class Segmentation(NamedTuple):
    """What the network says of a batch.

    Attributes:
        scores: Class scores before the softmax, walked where the network walks, ``(B, classes, h, w)``.
        affinities: One per attention module, in their order.
    """

    scores: Tensor
    affinities: tuple[Affinity, ...]


class DeepLab(nn.Module):
    """Scores every cell of the feature grid for every class.

    Args:
        backbone: Feature extractor; its last level has the stride ``output_stride``.
        attention: The cascaded modules, none or more.
        classifier: From features to scores.
        output_stride: Pixels per cell and axis.
        walk: Whether the scores take a random walk with the last module's affinity (equation 8).
    """

    def __init__(
        self,
        backbone: Backbone,
        attention: Sequence[LGSA],
        classifier: ASPP,
        output_stride: int,
        *,
        walk: bool,
    ) -> None:
        super().__init__()
        self.normalize = Normalize(backbone.mean, backbone.std)
        self.backbone = backbone
        self.attention = nn.ModuleList(attention)
        self.classifier = classifier
        self.output_stride = output_stride
        self.walk = walk and len(attention) > 0

    def forward(self, image: Tensor) -> Segmentation:
        """Segments images.

        Args:
            image: Float RGB 0 to 255, ``(B, 3, H, W)``, H and W multiples of the output stride.

        Returns:
            Scores and affinities at ``(H / output_stride, W / output_stride)``.
        """
        x = self.backbone(self.backbone.stem(self.normalize(image)))[-1]
        affinities: list[Affinity] = []
        for module in self.attention:
            x, affinity = module(x)
            affinities.append(affinity)
        scores = self.classifier(x)
        if self.walk:
            scores = reweight(affinities[-1].theta, affinities[-1].phi, scores)
        return Segmentation(scores, tuple(affinities))
