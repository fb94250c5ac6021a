"""What a conversion counts while it runs; memory does not grow with the dataset."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from boxmask_convert.samples import SampleChooser
from boxmask_convert.stage_times import StageTimes
from boxmask_core.grabcut import Fallback

if TYPE_CHECKING:
    from boxmask_client import Answer
    from boxmask_core.instances import ImageRecord, InstanceMask

QUALITY_BINS = 10


@dataclass(slots=True)
class ClassTally:
    """What is known of one class.

    Attributes:
        boxes: Masks made.
        images: Images with at least one of them.
        quality: Sum of their qualities.
        fill: Sum of the fractions of the box that the masks fill.
        fallbacks: Masks that a fallback gave.
    """

    boxes: int = 0
    images: int = 0
    quality: float = 0.0
    fill: float = 0.0
    fallbacks: int = 0

    def add(self, mask: InstanceMask) -> None:
        """Counts one mask."""
        self.boxes += 1
        self.quality += mask.quality
        self.fill += mask.proposal.fill
        self.fallbacks += mask.proposal.fallback is not Fallback.NONE


@dataclass(slots=True)
class Tally:
    """What a conversion counts.

    Attributes:
        images: Images written.
        annotated: Boxes that the dataset holds, as far as its annotations could be read.
        turned: Images whose boxes were drawn on the stored pixels, and were turned upright.
        classes: By class name.
        fallbacks: Masks by the rung of the ladder that gave them.
        qualities: Masks by tenth of quality.
        times: Where the work went.
        model_digests: Digests of the networks that answered; more than one if a server changed its own.
        samples: What the report shows.
    """

    images: int = 0
    annotated: int = 0
    turned: int = 0
    classes: dict[str, ClassTally] = field(default_factory=dict)
    fallbacks: Counter[Fallback] = field(default_factory=Counter)
    qualities: list[int] = field(default_factory=lambda: [0] * QUALITY_BINS)
    times: StageTimes = field(default_factory=StageTimes)
    model_digests: set[str] = field(default_factory=set)
    samples: SampleChooser = field(default_factory=SampleChooser)

    @property
    def boxes(self) -> int:
        """Masks written."""
        return sum(tally.boxes for tally in self.classes.values())

    def add(self, record: ImageRecord, answer: Answer) -> None:
        """Counts one image's answer."""
        self.images += 1
        if answer.model_digest:
            self.model_digests.add(answer.model_digest)
        for mask in answer.masks:
            self.classes.setdefault(mask.instance.class_name, ClassTally()).add(mask)
            self.fallbacks[mask.proposal.fallback] += 1
            self.qualities[min(int(mask.quality * QUALITY_BINS), QUALITY_BINS - 1)] += 1
        for name in {mask.instance.class_name for mask in answer.masks}:
            self.classes[name].images += 1
        self.samples.add(record, answer.masks)
        self.times.add(answer.timings)
