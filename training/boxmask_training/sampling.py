"""Which sample comes when: a pure function of seed, epoch and place, so that a run resumes exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch.utils.data import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


def epoch_order(size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Returns the epoch's permutation of ``0 .. size - 1``.

    Args:
        size: Number of samples.
        seed: Seed of the run.
        epoch: 0-based epoch.
    """
    return np.random.default_rng((seed, epoch)).permutation(size)


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """Yields the batches of one epoch as lists of ``(epoch, index)``, from any batch on.

    The epoch travels with the index, so that augmentation can be seeded by both, in whatever worker process
    it happens. Each rank takes every ``world_size``-th sample; what does not fill a last batch is left to
    the next epoch's order.

    Args:
        size: Number of samples.
        batch_size: Samples per batch and rank.
        seed: Seed of the run.
        rank: This process.
        world_size: Number of processes.
    """

    def __init__(self, size: int, batch_size: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.size = size
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.first_batch = 0

    def __len__(self) -> int:
        return self.size // (self.batch_size * self.world_size)

    def start(self, epoch: int, first_batch: int = 0) -> None:
        """Says where the next iteration begins.

        Args:
            epoch: 0-based epoch.
            first_batch: 0-based batch to begin with; those before it are skipped without being loaded.
        """
        self.epoch = epoch
        self.first_batch = first_batch

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        mine = epoch_order(self.size, self.seed, self.epoch)[self.rank :: self.world_size]
        for batch in range(self.first_batch, len(self)):
            chosen = mine[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield [(self.epoch, int(index)) for index in chosen]
