"""From one mask per instance to flat label maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from boxmask_core.instances import LabelMaps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from boxmask_core.instances import InstanceMask

OverlapPolicy = Literal["area", "order", "score", "priority", "void"]
"""Who owns a pixel that several masks claim."""


@dataclass(frozen=True, slots=True)
class Overlaps:
    """How a label map decides between masks that claim the same pixel.

    Attributes:
        policy: "area": the smaller box lies on top; "order": what comes later in the dataset; "score": the
            mask of higher quality; "priority": the class named earlier in ``priority``; "void": nobody, the
            pixel is void. Ties fall back to "area".
        priority: Class names, the one on top first; classes that are not named lie below all that are.
    """

    policy: OverlapPolicy = "area"
    priority: tuple[str, ...] = ()


_MAX_8_BIT_OBJECTS = 254


def compose(
    width: int, height: int, masks: Sequence[InstanceMask], class_indices: Mapping[str, int]
) -> LabelMaps:
    """Paints the masks over one another, larger boxes first, so that smaller ones lie on top.

    Boxes of the same area are painted by y0, then x0, then place in ``masks``: the result depends on nothing
    but the masks.

    Args:
        width: Width of the image, pixels.
        height: Height of the image, pixels.
        masks: One per instance.
        class_indices: Class name to index, 1 to 254, of every class among the masks.

    Returns:
        The class map, and the object map of 1-based places in ``masks``: uint8, or uint16 where more than 254
        instances need it.

    Raises:
        KeyError: A class is missing from ``class_indices``.
    """
    classes = np.zeros((height, width), dtype=np.uint8)
    objects = np.zeros((height, width), dtype=np.uint16)
    for index in _painting_order(masks):
        mask = masks[index]
        where, foreground = mask.proposal.window.slices(), mask.proposal.mask
        classes[where][foreground] = class_indices[mask.instance.class_name]
        objects[where][foreground] = index + 1
    if len(masks) <= _MAX_8_BIT_OBJECTS:
        return LabelMaps(classes, objects.astype(np.uint8))
    return LabelMaps(classes, objects)


def _painting_order(masks: Sequence[InstanceMask]) -> list[int]:
    def key(index: int) -> tuple[float, float, float, int]:
        box = masks[index].instance.box
        return -box.area, box.y0, box.x0, index

    return sorted(range(len(masks)), key=key)
