"""The report's choice of masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from boxmask_convert.samples import LOWEST, LOWEST_PER_IMAGE, SPREAD, SampleChooser
from boxmask_core.boxes import Box, Window
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.instances import ImageRecord, Instance, InstanceMask

PROPOSAL = Proposal(Window(0, 0, 1, 1), np.ones((1, 1), dtype=np.bool_), Fallback.NONE)


def _chosen(images: list[list[float]]) -> SampleChooser:
    chooser = SampleChooser()
    for i, qualities in enumerate(images):
        record = ImageRecord(str(i), Path(f"{i}.jpg"), ())
        instance = Instance(Box(0, 0, 1, 1), "cat")
        chooser.add(record, [InstanceMask(instance, PROPOSAL, quality) for quality in qualities])
    return chooser


def test_the_lowest_come_first_and_at_most_two_of_an_image() -> None:
    chooser = _chosen([[0.1, 0.2, 0.3, 0.4], [0.9], [0.35, 0.8]])
    assert [sample.quality for sample in chooser.lowest()] == [0.1, 0.2, 0.35, 0.8, 0.9]


def test_the_spread_reaches_from_one_end_of_a_long_dataset_to_the_other() -> None:
    chooser = _chosen([[0.5]] * 10_000)
    places = [sample.place for sample in chooser.spread()]
    assert len(places) == SPREAD
    gaps = np.diff(places)
    assert places[0] < 10_000 / SPREAD
    assert places[-1] > 10_000 * (1 - 2 / SPREAD)
    assert gaps.min() > 0.5 * gaps.max()


@given(st.lists(st.lists(st.floats(0, 1), max_size=4), max_size=150))
def test_any_dataset_gives_the_lowest_by_sorting_and_no_mask_twice(images: list[list[float]]) -> None:
    chooser = _chosen(images)
    candidates = sorted(value for qualities in images for value in sorted(qualities)[:LOWEST_PER_IMAGE])
    assert [sample.quality for sample in chooser.lowest()] == candidates[:LOWEST]
    places = [sample.place for sample in (*chooser.lowest(), *chooser.spread())]
    assert len(places) == len(set(places))
    total = sum(map(len, images))
    assert len(places) == min(total, len(places))
    assert len(chooser.spread()) == min(SPREAD, len(chooser.spread()))
