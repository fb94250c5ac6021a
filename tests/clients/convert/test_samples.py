"""The report's choice of masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from boxmask_convert.result.samples import LOWEST, LOWEST_PER_IMAGE, RANDOM, SampleChooser
from boxmask_core.boxes import Box, Window
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.instances import ImageRecord, Instance, InstanceMask

PROPOSAL = Proposal(Window(0, 0, 1, 1), np.ones((1, 1), dtype=np.bool_), Fallback.NONE)


def _chosen(images: list[list[float]]) -> SampleChooser:
    chooser = SampleChooser()
    for i, qualities in enumerate(images):
        record = ImageRecord(str(i), Path(f"{i}.jpg"), ())
        instance = Instance(Box(0, 0, 1, 1), "cat")
        masks = [InstanceMask(instance, PROPOSAL, quality) for quality in qualities]
        chooser.add(record, masks, [0.0] * len(masks))
    return chooser


def test_the_lowest_come_first_and_at_most_two_of_an_image() -> None:
    chooser = _chosen([[0.1, 0.2, 0.3, 0.4], [0.9], [0.35, 0.8]])
    assert [sample.quality for sample in chooser.lowest()] == [0.1, 0.2, 0.35, 0.8, 0.9]


def test_every_mask_has_the_same_chance_of_being_drawn() -> None:
    """Of 1500 datasets of 24 masks; for each mask the count of draws is binomial, so 5 sigma is never met."""
    datasets, masks, per_image = 1500, 24, 3
    drawn = np.zeros(masks)
    for seed in range(datasets):
        chooser = SampleChooser()
        for i in range(masks // per_image):
            record = ImageRecord(f"{seed}/{i}", Path("x.jpg"), ())
            # The first image takes both places of its own among the lowest; the rest are alike.
            row = [InstanceMask(Instance(Box(0, 0, 1, 1), "cat"), PROPOSAL, 0.5) for _ in range(per_image)]
            chooser.add(record, row, [0.0] * per_image)
        for sample in chooser.random():
            drawn[sample.place] += 1
    shown = [place for place in range(masks) if drawn[place] == 0]
    assert len(shown) == LOWEST  # of equal quality the first are the lowest, and are left out
    share = RANDOM / (masks - LOWEST)
    sigma = np.sqrt(datasets * share * (1 - share))
    left = np.delete(drawn, shown)
    assert np.abs(left - datasets * share).max() < 5 * sigma


def test_what_is_drawn_depends_on_nothing_but_the_dataset() -> None:
    first, again = (_chosen([[0.5, 0.6]] * 300).random() for _ in range(2))
    assert first == again
    assert len(first) == RANDOM


@given(st.lists(st.lists(st.floats(0, 1), max_size=4), max_size=150))
def test_any_dataset_gives_the_lowest_by_sorting_and_no_mask_twice(images: list[list[float]]) -> None:
    chooser = _chosen(images)
    candidates = sorted(value for qualities in images for value in sorted(qualities)[:LOWEST_PER_IMAGE])
    assert [sample.quality for sample in chooser.lowest()] == candidates[:LOWEST]
    lowest, drawn = chooser.lowest(), chooser.random()
    places = [sample.place for sample in (*lowest, *drawn)]
    assert len(places) == len(set(places))
    assert len(drawn) == min(RANDOM, sum(map(len, images)) - len(lowest))
