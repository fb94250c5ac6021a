"""Which masks the report shows: chosen as they pass, the same on every run over the same dataset."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxmask_core.instances import ImageRecord, Instance, InstanceMask

LOWEST = 6
LOWEST_PER_IMAGE = 2
"""One image full of poor masks is not to hide the poor masks of others."""
SPREAD = 6


@dataclass(frozen=True, slots=True)
class Sample:
    """One mask that the report shows.

    Attributes:
        record: Its image.
        instance: Its box.
        quality: Its quality.
        place: Its place among all masks of the conversion.
    """

    record: ImageRecord
    instance: Instance
    quality: float
    place: int


class SampleChooser:
    """Keeps the masks of lowest quality, and some spread evenly over the dataset."""

    def __init__(self) -> None:
        self._lowest: list[tuple[float, int, Sample]] = []
        self._spread: list[Sample] = []
        self._stride = 1
        self._seen = 0

    def add(self, record: ImageRecord, masks: Sequence[InstanceMask]) -> None:
        """Looks at the masks of one image."""
        samples = [
            Sample(record, mask.instance, mask.quality, place)
            for place, mask in enumerate(masks, start=self._seen)
        ]
        self._seen += len(samples)
        for sample in sorted(samples, key=_by_quality)[:LOWEST_PER_IMAGE]:
            self._add_lowest(sample)
        for sample in samples:
            self._add_spread(sample)

    def lowest(self) -> list[Sample]:
        """Returns the masks of lowest quality, the lowest first."""
        return sorted((sample for _, _, sample in self._lowest), key=_by_quality)

    def spread(self) -> list[Sample]:
        """Returns masks spread evenly over the dataset, without those of `lowest`."""
        shown = {sample.place for sample in self.lowest()}
        left = [sample for sample in self._spread if sample.place not in shown]
        step = max(len(left) / SPREAD, 1.0)
        return [left[int(i * step)] for i in range(min(SPREAD, len(left)))]

    def _add_lowest(self, sample: Sample) -> None:
        entry = (-sample.quality, -sample.place, sample)  # the heap's first is the best of the lowest
        if len(self._lowest) < LOWEST:
            heapq.heappush(self._lowest, entry)
        else:
            heapq.heappushpop(self._lowest, entry)

    def _add_spread(self, sample: Sample) -> None:
        """Keeps every n-th mask; n doubles whenever there are too many."""
        if sample.place % self._stride:
            return
        self._spread.append(sample)
        if len(self._spread) > 8 * SPREAD:
            self._spread = self._spread[::2]
            self._stride *= 2


def _by_quality(sample: Sample) -> tuple[float, int]:
    return sample.quality, sample.place
