"""What is lost where each pixel can belong to one instance only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from boxmask_core.formats.closing import EMPTY_MASK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from boxmask_core.instances import MaskedImage

COVERED_PIXELS = "pixels that lie under a smaller box"
HIDDEN_INSTANCES = "instances that lie wholly under smaller boxes"


def flat_losses(image: MaskedImage, objects: NDArray[np.uint8] | NDArray[np.uint16]) -> dict[str, int]:
    """Counts what lies under smaller boxes.

    Args:
        image: The masks.
        objects: Their object map, 1-based place in ``masks``, 0 background.

    Returns:
        A sentence, and how often; counts may be 0.
    """
    areas = [int(np.count_nonzero(mask.proposal.mask)) for mask in image.masks]
    seen = np.bincount(objects.ravel(), minlength=len(areas) + 1)[1:].tolist()
    hidden = sum(area > 0 and pixels == 0 for area, pixels in zip(areas, seen, strict=True))
    return {
        COVERED_PIXELS: sum(areas) - sum(seen),
        HIDDEN_INSTANCES: hidden,
        EMPTY_MASK: areas.count(0),
    }
