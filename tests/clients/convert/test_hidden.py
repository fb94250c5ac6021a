"""What masks lose to others, against painting pixel by pixel."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxmask_convert.result.hidden import hidden_shares
from boxmask_core.boxes import Box
from boxmask_core.compositing import Overlaps
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.instances import Instance, InstanceMask

SIDE = 24


def _mask(
    box: Box, pixels: np.ndarray | None = None, name: str = "cat", quality: float = 0.5
) -> InstanceMask:
    window = box.window()
    shape = window.height, window.width
    mask = np.ones(shape, dtype=np.bool_) if pixels is None else pixels
    return InstanceMask(Instance(box, name), Proposal(window, mask, Fallback.NONE), quality)


@st.composite
def _masks(draw: st.DrawFn) -> list[InstanceMask]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    masks = []
    for _ in range(draw(st.integers(0, 6))):
        x0, y0 = rng.integers(0, SIDE - 1, 2)
        x1, y1 = rng.integers(x0 + 1, SIDE + 1), rng.integers(y0 + 1, SIDE + 1)
        pixels = rng.random((y1 - y0, x1 - x0)) < rng.choice([0.0, 0.5, 1.0])
        name, quality = str(rng.choice(["cat", "dog"])), float(rng.random())
        masks.append(_mask(Box(float(x0), float(y0), float(x1), float(y1)), pixels, name, quality))
    return masks


def _naive(masks: list[InstanceMask], overlaps: Overlaps) -> list[float]:
    """Asks for every pixel who claims it, and who of them comes first."""

    def rank(place: int) -> tuple[float, ...]:
        mask = masks[place]
        box = mask.instance.box
        by_area = (box.area, -box.y0, -box.x0, -place)
        named = {name: i for i, name in enumerate(overlaps.priority)}
        return {
            "area": by_area,
            "order": (-place,),
            "score": (-mask.quality, *by_area),
            "priority": (named.get(mask.instance.class_name, len(named)), *by_area),
            "void": by_area,
        }[overlaps.policy]

    owned, claimed = Counter[int](), Counter[int]()
    for y in range(SIDE):
        for x in range(SIDE):
            here = []
            for place, mask in enumerate(masks):
                window = mask.proposal.window
                inside = window.x0 <= x < window.x1 and window.y0 <= y < window.y1
                if inside and mask.proposal.mask[y - window.y0, x - window.x0]:
                    here.append(place)
            claimed.update(here)
            if here and (overlaps.policy != "void" or len(here) == 1):
                owned[min(here, key=rank)] += 1
    return [1 - owned[i] / claimed[i] if claimed[i] else 0.0 for i in range(len(masks))]


@given(_masks(), st.sampled_from(["area", "order", "score", "priority", "void"]))
def test_shares_are_those_of_asking_every_pixel(masks: list[InstanceMask], policy: str) -> None:
    overlaps = Overlaps(policy, ("dog",) if policy == "priority" else ())  # type: ignore[arg-type]  # sampled
    assert hidden_shares(masks, overlaps) == pytest.approx(_naive(masks, overlaps))


def test_masks_apart_are_not_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boxmask_convert.result.hidden.compose", None)
    assert hidden_shares([_mask(Box(0, 0, 5, 5)), _mask(Box(5, 0, 9, 5))], Overlaps()) == [0, 0]
    assert hidden_shares([], Overlaps()) == []


def test_a_far_corner_of_a_huge_image_needs_no_huge_map() -> None:
    far = 1e6
    masks = [_mask(Box(far, far, far + 8, far + 8)), _mask(Box(far, far, far + 4, far + 8))]
    assert hidden_shares(masks, Overlaps()) == [0.5, 0]
