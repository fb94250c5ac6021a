"""Which masks a person should look at first, and why: chosen as they pass, in memory that does not grow."""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from boxmask_convert.result.reasons import MANY_PARTS, SAME_FROM, deviation, is_far, reasons_of
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.quality import Signals, tightness
from boxmask_core.rle import decode_rle, encode_rle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from boxmask_convert.result.distribution import Distribution
    from boxmask_core.boxes import Window
    from boxmask_core.instances import ImageRecord, Instance, InstanceMask

LOWEST: Final = 200
"""Masks of lowest quality that are listed, at most."""
LOWEST_SHARE: Final = 0.2
"""And at most this share of all masks, so that a small dataset is not listed whole."""
LOWEST_AT_LEAST: Final = 20
"""But this many where there are so many."""
OTHERS: Final = 40
"""Masks that are listed for each other reason, at most."""
OTHERS_PER_CLASS: Final = 5
"""Masks of each class that are kept for filling the least, and the most, of their box."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """One mask that may have to be looked at.

    Attributes:
        key: The image's key.
        path: The image file.
        instance: Its box.
        quality: Its quality, 0 to 1.
        signals: What the quality was judged by.
        hidden: Share of its pixels that other masks take when the masks are flattened, 0 to 1.
        fallback: The rung that gave it.
        window: Where the mask lies in the image.
        counts: The mask, as COCO's compressed run-length encoding.
        place: Its place among all masks of the conversion.
    """

    key: str
    path: Path
    instance: Instance
    quality: float
    signals: Signals
    hidden: float
    fallback: Fallback
    window: Window
    counts: bytes
    place: int

    @property
    def proposal(self) -> Proposal:
        """The mask."""
        mask = decode_rle(self.counts, self.window.height, self.window.width)
        return Proposal(self.window, mask, self.fallback)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A mask and what is suspicious about it.

    Attributes:
        suspect: The mask.
        median_fill: The median fill of its class.
        reasons: Why it is listed: a short name, and a sentence.
    """

    suspect: Suspect
    median_fill: float
    reasons: tuple[tuple[str, str], ...]


class _Foremost:
    """Keeps the masks of the lowest ranks.

    Args:
        size: How many.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._heap: list[tuple[float, int, Suspect]] = []  # its first is the one to give up next

    def wants(self, rank: float) -> bool:
        """Says whether a mask that comes after all others would be kept."""
        return len(self._heap) < self._size or rank < -self._heap[0][0]

    def add(self, rank: float, suspect: Suspect) -> None:
        entry = (-rank, -suspect.place, suspect)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def suspects(self) -> list[Suspect]:
        """Returns them, the lowest rank first."""
        return [suspect for _, _, suspect in sorted(self._heap, reverse=True)]


class SuspectChooser:
    """Keeps the masks that stand out: poor, of unusual fill, in parts, doubled, hidden, or a fallback's."""

    def __init__(self) -> None:
        self._seen = 0
        self._lowest = _Foremost(LOWEST)
        self._in_parts = _Foremost(OTHERS)
        self._same = _Foremost(OTHERS)
        self._hidden = _Foremost(OTHERS)
        self._fallen = _Foremost(OTHERS)
        self._thin: defaultdict[str, _Foremost] = defaultdict(lambda: _Foremost(OTHERS_PER_CLASS))
        self._full: defaultdict[str, _Foremost] = defaultdict(lambda: _Foremost(OTHERS_PER_CLASS))

    def add(self, record: ImageRecord, masks: Sequence[InstanceMask], hidden: Sequence[float]) -> None:
        """Looks at the masks of one image.

        Args:
            record: The image.
            masks: Its masks.
            hidden: The share of each that lies under others.
        """
        for mask, share in zip(masks, hidden, strict=True):
            signals = mask.signals or signals_of(mask.proposal)
            ranks = self._ranks(mask, signals, share)
            wanting = [(foremost, rank) for foremost, rank in ranks if foremost.wants(rank)]
            if wanting:
                suspect = _suspect(record, mask, signals, share, self._seen)
                for foremost, rank in wanting:
                    foremost.add(rank, suspect)
            self._seen += 1

    def suspicions(self, fills: Mapping[str, Distribution]) -> list[Suspicion]:
        """Returns the masks to look at, the lowest quality first.

        Args:
            fills: How the fill of all masks is distributed in each class.
        """
        most = min(LOWEST, max(LOWEST_AT_LEAST, round(LOWEST_SHARE * self._seen)))
        lowest = self._lowest.suspects()[:most]
        others = (self._in_parts, self._same, self._hidden, self._fallen)
        kept = {suspect.place: suspect for foremost in others for suspect in foremost.suspects()}
        kept |= {suspect.place: suspect for suspect in (*lowest, *self._far(fills))}
        low = {suspect.place for suspect in lowest}
        return [
            Suspicion(
                suspect,
                fills[suspect.instance.class_name].quantile(0.5),
                reasons_of(suspect, fills[suspect.instance.class_name], is_low=suspect.place in low),
            )
            for suspect in sorted(kept.values(), key=lambda suspect: (suspect.quality, suspect.place))
        ]

    def _far(self, fills: Mapping[str, Distribution]) -> list[Suspect]:
        """Returns the masks of unusual fill, the one that is farthest from its class first."""
        far: dict[int, tuple[float, Suspect]] = {}
        for ends in (self._thin, self._full):
            for name, foremost in ends.items():
                for suspect in foremost.suspects():
                    if is_far(suspect, fills[name]):
                        far[suspect.place] = deviation(suspect, fills[name]), suspect
        farthest = sorted(far.values(), key=lambda item: (-item[0], item[1].place))
        return [suspect for _, suspect in farthest[:OTHERS]]

    def _ranks(self, mask: InstanceMask, signals: Signals, hidden: float) -> list[tuple[_Foremost, float]]:
        name = mask.instance.class_name
        ranks = [
            (self._lowest, mask.quality),
            (self._thin[name], signals.fill),
            (self._full[name], -signals.fill),
        ]
        if signals.parts >= MANY_PARTS:
            ranks.append((self._in_parts, -float(signals.parts)))
        if signals.rivalry is not None and signals.rivalry >= SAME_FROM:
            ranks.append((self._same, -signals.rivalry))
        if hidden >= 1:
            ranks.append((self._hidden, mask.quality))
        if mask.proposal.fallback is not Fallback.NONE:
            ranks.append((self._fallen, mask.quality))
        return ranks


def signals_of(proposal: Proposal) -> Signals:
    """Returns what the mask alone tells, where its maker told nothing."""
    parts = cv2.connectedComponents(proposal.mask.astype(np.uint8), connectivity=8)[0] - 1
    return Signals(None, None, tightness(proposal.mask), proposal.fill, parts)


def _suspect(record: ImageRecord, mask: InstanceMask, signals: Signals, hidden: float, place: int) -> Suspect:
    proposal = mask.proposal
    return Suspect(
        key=record.key,
        path=record.path,
        instance=mask.instance,
        quality=mask.quality,
        signals=signals,
        hidden=hidden,
        fallback=proposal.fallback,
        window=proposal.window,
        counts=encode_rle(proposal.mask),
        place=place,
    )
