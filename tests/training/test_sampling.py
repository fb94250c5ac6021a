from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxmask_training.sampling import EpochBatches, epoch_order


@given(size=st.integers(0, 200), seed=st.integers(0, 2**31), epoch=st.integers(0, 1000))
def test_an_epoch_orders_every_sample_once(size: int, seed: int, epoch: int) -> None:
    order = epoch_order(size, seed, epoch)
    assert sorted(order) == list(range(size))
    np.testing.assert_array_equal(order, epoch_order(size, seed, epoch))


def test_orders_differ_by_epoch_and_seed() -> None:
    orders = {tuple(epoch_order(50, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


@given(size=st.integers(1, 100), batch=st.integers(1, 9), ranks=st.integers(1, 4), epoch=st.integers(0, 5))
def test_ranks_share_an_epoch_without_overlap(size: int, batch: int, ranks: int, epoch: int) -> None:
    seen: list[int] = []
    for rank in range(ranks):
        batches = EpochBatches(size, batch, seed=3, rank=rank, world_size=ranks)
        batches.start(epoch)
        lists = list(batches)
        assert len(lists) == len(batches) == size // (batch * ranks)
        assert all(len(chosen) == batch for chosen in lists)
        assert {at for chosen in lists for at, _ in chosen} <= {epoch}
        seen += [index for chosen in lists for _, index in chosen]
    assert len(seen) == len(set(seen)) > size - batch * ranks
    assert set(seen) <= set(range(size))


def test_what_an_epoch_leaves_out_comes_up_in_another() -> None:
    batches = EpochBatches(7, 3, seed=0)
    seen = set()
    for epoch in range(8):
        batches.start(epoch)
        seen |= {index for chosen in batches for _, index in chosen}
    assert seen == set(range(7))


@pytest.mark.parametrize("first", range(6))
def test_a_resumed_epoch_is_the_tail_of_the_whole_one(first: int) -> None:
    batches = EpochBatches(23, 4, seed=5)
    batches.start(2)
    whole = list(batches)
    batches.start(2, first)
    assert list(batches) == whole[first:]


def test_an_epoch_can_be_gone_through_twice() -> None:
    batches = EpochBatches(12, 4, seed=5)
    batches.start(1)
    assert list(batches) == list(batches)
