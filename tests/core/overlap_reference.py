"""Who owns a pixel, decided one pixel at a time: slow, and independent of `boxmask_core.compositing`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from boxmask_core.boxes import Box, Window
from boxmask_core.compositing import Overlaps
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.instances import Instance, InstanceMask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NAMES = ("cat", "dog", "cow")
WIDTH, HEIGHT = 7, 5
VOID = -1

POLICIES = (
    Overlaps("area"),
    Overlaps("order"),
    Overlaps("score"),
    Overlaps("priority", ("cow", "cat")),
    Overlaps("void"),
)


@dataclass(frozen=True)
class Owned:
    """Who owns each pixel: the 0-based place of a mask, None for nobody, `VOID` for void."""

    owners: list[list[int | None]]

    def objects(self, void: int) -> NDArray[np.int64]:
        values = {None: 0, VOID: void}
        return np.array([[values.get(owner, (owner or 0) + 1) for owner in row] for row in self.owners])

    def classes(self, masks: Sequence[InstanceMask], void: int) -> NDArray[np.int64]:
        values: dict[int | None, int] = {None: 0, VOID: void}
        for place, mask in enumerate(masks):
            values[place] = NAMES.index(mask.instance.class_name) + 1
        return np.array([[values[owner] for owner in row] for row in self.owners])

    def hidden(self, masks: Sequence[InstanceMask], void_below: float | None) -> tuple[str, ...]:
        seen = {owner for row in self.owners for owner in row}
        return tuple(
            mask.instance.id
            for place, mask in enumerate(masks)
            if place not in seen
            and mask.proposal.mask.any()
            and (void_below is None or mask.quality >= void_below)
        )


def owned(masks: Sequence[InstanceMask], overlaps: Overlaps, void_below: float | None) -> Owned:
    return Owned([[_owner(x, y, masks, overlaps, void_below) for x in range(WIDTH)] for y in range(HEIGHT)])


def _owner(
    x: int, y: int, masks: Sequence[InstanceMask], overlaps: Overlaps, void_below: float | None
) -> int | None:
    claims, doubtful = [], False
    for place, mask in enumerate(masks):
        window = mask.proposal.window
        if not (window.x0 <= x < window.x1 and window.y0 <= y < window.y1):
            continue
        if void_below is not None and mask.quality < void_below:
            doubtful = True
        elif mask.proposal.mask[y - window.y0, x - window.x0]:
            claims.append(place)
    if not claims:
        return VOID if doubtful else None
    if overlaps.policy == "void" and len(claims) > 1:
        return VOID
    winner = claims[0]
    for place in claims[1:]:
        if _beats(masks[place], masks[winner], overlaps):
            winner = place
    return winner


def _beats(later: InstanceMask, earlier: InstanceMask, overlaps: Overlaps) -> bool:
    """Says whether the one that comes later in the dataset lies on top."""
    if overlaps.policy == "order":
        return True
    if overlaps.policy == "score" and later.quality != earlier.quality:
        return later.quality > earlier.quality
    if overlaps.policy == "priority":
        for name in overlaps.priority:
            if (later.instance.class_name == name) != (earlier.instance.class_name == name):
                return later.instance.class_name == name
    one, other = later.instance.box, earlier.instance.box
    one_area, other_area = one.width * one.height, other.width * other.height
    if one_area != other_area:
        return one_area < other_area
    if one.y0 != other.y0:
        return one.y0 > other.y0
    return one.x0 >= other.x0


@st.composite
def instance_masks(draw: st.DrawFn, most: int = 6) -> list[InstanceMask]:
    """Masks of any pixels in boxes of few sizes, so that ties are common; some are empty."""
    masks = []
    for place in range(draw(st.integers(0, most))):
        width, height = draw(st.sampled_from([(2, 3), (3, 2), (4, 4), (1, 1), (6, 5)]))
        x, y = draw(st.integers(0, WIDTH - width)), draw(st.integers(0, HEIGHT - height))
        pixels = draw(st.lists(st.booleans(), min_size=width * height, max_size=width * height))
        box = Box(x, y, x + width, y + height)
        instance = Instance(box, draw(st.sampled_from(NAMES)), id=f"id {place}")
        mask = np.array(pixels, dtype=np.bool_).reshape(height, width)
        proposal = Proposal(Window(x, y, x + width, y + height), mask, Fallback.NONE)
        masks.append(InstanceMask(instance, proposal, draw(st.sampled_from([0.0, 0.25, 0.5, 1.0]))))
    return masks
