"""From one mask per instance to flat label maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from boxmask_core.errors import InvalidMaskError, InvalidRequestError
from boxmask_core.instances import LabelMaps
from boxmask_core.palette import MAX_8_BIT, MAX_16_BIT, void_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from boxmask_core.grabcut import Proposal
    from boxmask_core.instances import InstanceMask
    from boxmask_core.palette import LabelArray

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

    def require_known(self, class_names: Collection[str]) -> None:
        """Checks that the priority names classes that there are.

        Raises:
            InvalidRequestError: A class is unknown, or the policy is "priority" and no class is named.
        """
        known = ", ".join(class_names)
        if unknown := [name for name in self.priority if name not in class_names]:
            raise InvalidRequestError("priority", f"there is no class {unknown[0]!r}, only: {known}")
        if self.policy == "priority" and not self.priority:
            raise InvalidRequestError("priority", f"name the classes that lie on top, some of: {known}")


BY_AREA = Overlaps()
"""Smaller boxes lie on top."""


def compose(
    width: int,
    height: int,
    masks: Sequence[InstanceMask],
    class_indices: Mapping[str, int],
    overlaps: Overlaps = BY_AREA,
    void_below: float | None = None,
) -> LabelMaps:
    """Paints the masks over one another; by default larger boxes first, so that smaller ones lie on top.

    Boxes of the same area are painted by y0, then x0, then place in ``masks``: the result depends on nothing
    but the masks.

    Args:
        width: Width of the image, pixels.
        height: Height of the image, pixels.
        masks: One per instance.
        class_indices: Class name to index, from 1, of every class among the masks.
        overlaps: Who owns a pixel that several masks claim.
        void_below: A mask of lower quality is not painted; its box is void but where another mask claims it.

    Returns:
        The class map: uint8, or uint16 where ``class_indices`` reach beyond 254. The object map of 1-based
        places in ``masks``: uint8, or uint16 where there are more than 254 instances.

    Raises:
        KeyError: A class is missing from ``class_indices``.
        InvalidMaskError: There are more instances or classes than 16 bits hold.
    """
    classes = _background(width, height, max(class_indices.values(), default=0), "classes")
    objects = _background(width, height, len(masks), "instances")
    trusted = [index for index, mask in enumerate(masks) if is_trusted(mask, void_below)]
    for index in set(range(len(masks))).difference(trusted):
        for labels in (classes, objects):
            labels[masks[index].proposal.window.slices()] = void_of(labels)
    for index in sorted(trusted, key=lambda index: _painting_key(masks, index, overlaps)):
        mask = masks[index]
        where, foreground = mask.proposal.window.slices(), mask.proposal.mask
        classes[where][foreground] = class_indices[mask.instance.class_name]
        objects[where][foreground] = index + 1
    if overlaps.policy == "void":
        contested = _claimed_twice(width, height, [masks[index].proposal for index in trusted])
        for labels in (classes, objects):
            labels[contested] = void_of(labels)
    return LabelMaps(classes, objects)


def is_trusted(mask: InstanceMask, void_below: float | None) -> bool:
    """Says whether a mask is good enough to be painted.

    Args:
        mask: The mask.
        void_below: The quality that it must reach, or None where every mask will do.
    """
    return void_below is None or mask.quality >= void_below


def _claimed_twice(width: int, height: int, proposals: Sequence[Proposal]) -> NDArray[np.bool_]:
    """Returns the pixels that are foreground of several masks, bool ``(height, width)``."""
    once, twice = np.zeros((2, height, width), dtype=np.bool_)
    for proposal in proposals:
        where = proposal.window.slices()
        twice[where] |= once[where] & proposal.mask
        once[where] |= proposal.mask
    return twice


def _background(width: int, height: int, largest: int, what: str) -> LabelArray:
    """Returns a map of zeros that holds indices up to ``largest``."""
    if largest > MAX_16_BIT:
        raise InvalidMaskError(
            "label map", f"16 bits hold at most {MAX_16_BIT} {what}, but got {largest}; write COCO instead"
        )
    if largest > MAX_8_BIT:
        return np.zeros((height, width), dtype=np.uint16)
    return np.zeros((height, width), dtype=np.uint8)


def _painting_key(masks: Sequence[InstanceMask], index: int, overlaps: Overlaps) -> tuple[float, ...]:
    """Returns what masks are sorted by: the last lies on top."""
    mask = masks[index]
    box = mask.instance.box
    by_area = (-box.area, box.y0, box.x0, index)
    if overlaps.policy == "order":
        return (index,)
    if overlaps.policy == "score":
        return (mask.quality, *by_area)
    if overlaps.policy == "priority":
        names = overlaps.priority
        name = mask.instance.class_name
        return (-names.index(name) if name in names else -len(names), *by_area)
    return by_area
