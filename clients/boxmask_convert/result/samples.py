"""Which masks the report shows: chosen as they pass, the same on every run over the same dataset."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, TypeAlias

from boxmask_convert.result.suspicious import SuspectChooser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxmask_core.instances import ImageRecord, Instance, InstanceMask

LOWEST: Final = 6
LOWEST_PER_IMAGE: Final = 2
"""One image full of poor masks is not to hide the poor masks of others."""
RANDOM: Final = 6


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


_Entry: TypeAlias = tuple[float, int, Sample]


class SampleChooser:
    """Keeps the masks of lowest quality, some drawn at random, and those that stand out.

    Attributes:
        suspects: Those that stand out.
    """

    def __init__(self) -> None:
        self.suspects = SuspectChooser()
        self._lowest: list[_Entry] = []
        self._drawn: list[_Entry] = []
        self._seen = 0

    def add(self, record: ImageRecord, masks: Sequence[InstanceMask], hidden: Sequence[float]) -> None:
        """Looks at the masks of one image.

        Args:
            record: The image.
            masks: Its masks.
            hidden: The share of each that lies under others when they are flattened.
        """
        samples = [
            Sample(record, mask.instance, mask.quality, place)
            for place, mask in enumerate(masks, start=self._seen)
        ]
        self._seen += len(samples)
        for sample in sorted(samples, key=_by_quality)[:LOWEST_PER_IMAGE]:
            _keep(self._lowest, (-sample.quality, -sample.place, sample), LOWEST)
        # Drawn are those of the smallest lots. Those of lowest quality are left out of them later, so there
        # have to be as many more.
        for i, sample in enumerate(samples):
            _keep(self._drawn, (-_lot(record.key, i), -sample.place, sample), RANDOM + LOWEST)
        self.suspects.add(record, masks, hidden)

    def lowest(self) -> list[Sample]:
        """Returns the masks of lowest quality, the lowest first."""
        return sorted((sample for _, _, sample in self._lowest), key=_by_quality)

    def random(self) -> list[Sample]:
        """Returns masks that were drawn at random, each with the same chance, without those of `lowest`.

        They come in the dataset's order, and the same again for the same dataset.
        """
        shown = {sample.place for sample in self.lowest()}
        drawn = (sample for _, _, sample in sorted(self._drawn, reverse=True))
        left = [sample for sample in drawn if sample.place not in shown]
        return sorted(left[:RANDOM], key=lambda sample: sample.place)


def _keep(heap: list[_Entry], entry: _Entry, size: int) -> None:
    """Adds an entry, and gives up the least of them where there are too many."""
    if len(heap) < size:
        heapq.heappush(heap, entry)
    else:
        heapq.heappushpop(heap, entry)


def _lot(key: str, index: int) -> int:
    """Returns a number that is as good as drawn at random, always the same for the same mask."""
    name = f"{key}\0{index}".encode(errors="surrogateescape")
    return int.from_bytes(blake2b(name, digest_size=8).digest())


def _by_quality(sample: Sample) -> tuple[float, int]:
    return sample.quality, sample.place
