"""Which masks are to be looked at, against looking at all of them at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from boxmask_convert.result.distribution import Distribution
from boxmask_convert.result.reasons import FAR_FILL, MANY_PARTS
from boxmask_convert.result.suspicious import (
    LOWEST,
    LOWEST_AT_LEAST,
    LOWEST_SHARE,
    OTHERS,
    SuspectChooser,
    Suspicion,
    signals_of,
)
from boxmask_core.boxes import Box, Window
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.instances import ImageRecord, Instance, InstanceMask
from boxmask_core.quality import Signals

PIXELS = np.array([[True, False], [True, True]])


def _mask(
    quality: float = 0.9,
    fill: float = 0.5,
    parts: int = 1,
    name: str = "cat",
    fallback: Fallback = Fallback.NONE,
    rivalry: float | None = None,
) -> InstanceMask:
    proposal = Proposal(Window(0, 0, 2, 2), PIXELS, fallback)
    return InstanceMask(
        Instance(Box(0, 0, 2, 2), name, id="7"),
        proposal,
        quality,
        Signals(0.9, 0.8, 0.7, fill, parts, rivalry=rivalry),
    )


def _listed(masks: list[InstanceMask], hidden: list[float] | None = None) -> list[Suspicion]:
    chooser, fills = SuspectChooser(), dict[str, Distribution]()
    hidden = hidden or [0.0] * len(masks)
    for i, (mask, share) in enumerate(zip(masks, hidden, strict=True)):
        chooser.add(ImageRecord(str(i), Path(f"{i}.jpg"), (mask.instance,)), [mask], [share])
        assert mask.signals is not None
        fills.setdefault(mask.instance.class_name, Distribution()).add(mask.signals.fill)
    return chooser.suspicions(fills)


def _names(suspicion: Suspicion) -> list[str]:
    return [name for name, _ in suspicion.reasons]


@given(st.lists(st.floats(0, 1), max_size=300))
def test_the_lowest_are_those_of_sorting(qualities: list[float]) -> None:
    listed = _listed([_mask(quality) for quality in qualities])
    most = min(LOWEST, max(LOWEST_AT_LEAST, round(LOWEST_SHARE * len(qualities))))
    assert [each.suspect.quality for each in listed] == sorted(qualities)[:most]
    assert all(_names(each) == ["lowest quality"] for each in listed)


def test_of_a_large_dataset_the_worst_two_hundred_are_listed() -> None:
    rng = np.random.default_rng(0)
    qualities = rng.random(5000).tolist()
    listed = _listed([_mask(quality) for quality in qualities])
    assert [each.suspect.quality for each in listed] == sorted(qualities)[:LOWEST]


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_unusual_fill_is_judged_by_the_whole_class(seed: int) -> None:
    """Whatever comes first: quartiles are known only when all masks were seen."""
    rng = np.random.default_rng(seed)
    fills = np.concatenate([rng.normal(0.6, 0.05, 200).clip(0, 1), rng.random(4)])
    fills = rng.permutation(fills)
    listed = _listed([_mask(fill=float(fill)) for fill in fills])
    unusual = {each.suspect.place for each in listed if "unusual fill" in _names(each)}
    lower, median, upper = np.quantile(fills, [0.25, 0.5, 0.75])
    reach = 1.5 * (upper - lower)
    # Bins are a hundredth wide, so those within the reach of that of a bound may go either way.
    slack = 0.04

    def is_far(fill: float, slack: float) -> bool:
        beyond = not lower - reach - slack <= fill <= upper + reach + slack
        return beyond and abs(fill - median) >= FAR_FILL + slack

    extremes = np.argsort(fills)
    kept = {*extremes[:5].tolist(), *extremes[-5:].tolist()}
    assert {i for i in kept if is_far(fills[i], slack)} <= unusual
    assert unusual <= {i for i in range(len(fills)) if is_far(fills[i], -slack)}


def test_few_masks_say_nothing_of_what_is_usual() -> None:
    masks = [_mask(quality=0.9, fill=fill) for fill in (0.1, *[0.9] * 15)]
    assert all("unusual fill" not in _names(each) for each in _listed(masks))


def test_fill_is_compared_within_the_class() -> None:
    masks = [_mask(fill=0.3, name="snake") for _ in range(30)] + [
        _mask(fill=0.9, name="bus") for _ in range(30)
    ]
    assert all("unusual fill" not in _names(each) for each in _listed(masks))
    odd = _mask(fill=0.3, name="bus")
    (found,) = (each for each in _listed([odd, *masks]) if "unusual fill" in _names(each))
    assert found.suspect.place == 0
    assert abs(found.median_fill - 0.9) <= 0.01
    assert ("unusual fill", "fills 30 % of its box; half of its class fill 90 to 91 %") in found.reasons


def test_a_mask_is_listed_once_with_all_its_reasons() -> None:
    good = [_mask(0.95) for _ in range(200)]
    odd = _mask(0.1, fill=0.05, parts=MANY_PARTS, fallback=Fallback.CFS_SILENT)
    listed = _listed([*good, odd], [0.0] * 200 + [1.0])
    (found,) = (each for each in listed if each.suspect.place == 200)
    assert _names(found) == ["lowest quality", "unusual fill", "many parts", "hidden", "fallback"]
    assert found.suspect.key == "200"
    assert np.array_equal(found.suspect.proposal.mask, PIXELS)
    assert found.suspect.proposal.fallback is Fallback.CFS_SILENT


def test_each_reason_finds_masks_of_high_quality_too() -> None:
    good = [_mask(0.5) for _ in range(200)]
    odd = [
        _mask(0.99, parts=9),
        _mask(0.99),
        _mask(0.99, fallback=Fallback.SMALL_MASK),
        _mask(0.99, rivalry=0.7),
    ]
    listed = _listed([*odd, *good], [0.0, 1.0, 0.0, 0.0] + [0.0] * 200)
    found = {each.suspect.place: _names(each) for each in listed if each.suspect.place < 4}
    assert found == {0: ["many parts"], 1: ["hidden"], 2: ["fallback"], 3: ["same as another"]}
    assert [each.suspect.quality for each in listed] == sorted(each.suspect.quality for each in listed)


def test_no_reason_crowds_out_the_others() -> None:
    masks = [_mask(0.9, parts=MANY_PARTS + i % 50, fallback=Fallback.SMALL_MASK) for i in range(3000)]
    listed = _listed(masks, [1.0] * 3000)
    assert len(listed) <= LOWEST + 3 * OTHERS
    # Of those in many parts, those of the most are kept.
    most = sorted((each.suspect.signals.parts for each in listed), reverse=True)[:OTHERS]
    assert most == [MANY_PARTS + 49] * OTHERS


def test_what_nobody_told_is_taken_from_the_mask() -> None:
    pixels = np.zeros((6, 10), dtype=np.bool_)
    pixels[1, 1] = pixels[2, 2] = True  # touch at a corner: one part
    pixels[4, 8] = True
    signals = signals_of(Proposal(Window(0, 0, 10, 6), pixels, Fallback.NONE))
    assert signals == Signals(None, None, tightness=4 * 8 / 60, fill=3 / 60, parts=2)
