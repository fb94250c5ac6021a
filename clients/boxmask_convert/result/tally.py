"""What a conversion counts while it runs; memory does not grow with the dataset."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from boxmask_convert.result.distribution import Distribution
from boxmask_convert.result.hidden import hidden_shares
from boxmask_convert.result.samples import SampleChooser
from boxmask_convert.result.stage_times import StageTimes
from boxmask_core.compositing import BY_AREA, Overlaps
from boxmask_core.grabcut import Fallback

if TYPE_CHECKING:
    from boxmask_client import Answer
    from boxmask_convert.images.questions import Prepared
    from boxmask_core.instances import ImageRecord, InstanceMask


@dataclass(slots=True)
class ClassTally:
    """What is known of one class.

    Attributes:
        images: Images with at least one of its masks.
        qualities: How their qualities are distributed.
        fills: How the fractions of the box that they fill are distributed.
        fallbacks: Masks that a fallback gave.
        hidden: Masks that lie wholly under others when they are flattened.
    """

    images: int = 0
    qualities: Distribution = field(default_factory=Distribution)
    fills: Distribution = field(default_factory=Distribution)
    fallbacks: int = 0
    hidden: int = 0

    @property
    def boxes(self) -> int:
        """Masks made."""
        return self.qualities.count

    def add(self, mask: InstanceMask, hidden: float) -> None:
        """Counts one mask.

        Args:
            mask: The mask.
            hidden: The share of it that lies under others.
        """
        self.qualities.add(mask.quality)
        self.fills.add(mask.signals.fill if mask.signals else mask.proposal.fill)
        self.fallbacks += mask.proposal.fallback is not Fallback.NONE
        self.hidden += hidden >= 1


@dataclass(slots=True)
class Tally:
    """What a conversion counts.

    Attributes:
        overlaps: Who owns a pixel that several masks claim: what a mask loses to others is judged by it.
        images: Images written.
        reused: Images among them whose answer an earlier run left.
        annotated: Boxes that the dataset holds, as far as its annotations could be read.
        turned: Images whose boxes were drawn on the stored pixels, and were turned upright.
        rescaled: Images whose boxes were drawn on another size, and were scaled.
        several_frames: Animations and files of several pages; the first was masked.
        modes: Images by Pillow's name of their pixel layout.
        classes: By class name.
        fallbacks: Masks by the rung of the ladder that gave them.
        qualities: How the qualities of all masks are distributed.
        times: Where the work went.
        model_digests: Digests of the networks that answered; more than one if a server changed its own.
        samples: What the report shows.
    """

    overlaps: Overlaps = BY_AREA
    images: int = 0
    reused: int = 0
    annotated: int = 0
    turned: int = 0
    rescaled: int = 0
    several_frames: int = 0
    modes: Counter[str] = field(default_factory=Counter)
    classes: dict[str, ClassTally] = field(default_factory=dict)
    fallbacks: Counter[Fallback] = field(default_factory=Counter)
    qualities: Distribution = field(default_factory=Distribution)
    times: StageTimes = field(default_factory=StageTimes)
    model_digests: set[str] = field(default_factory=set)
    samples: SampleChooser = field(default_factory=SampleChooser)

    @property
    def boxes(self) -> int:
        """Masks written."""
        return self.qualities.count

    def add(self, record: ImageRecord, answer: Answer) -> None:
        """Counts one image's answer."""
        self.images += 1
        if answer.model_digest:
            self.model_digests.add(answer.model_digest)
        hidden = hidden_shares(answer.masks, self.overlaps)
        for mask, share in zip(answer.masks, hidden, strict=True):
            self.classes.setdefault(mask.instance.class_name, ClassTally()).add(mask, share)
            self.fallbacks[mask.proposal.fallback] += 1
            self.qualities.add(mask.quality)
        for name in {mask.instance.class_name for mask in answer.masks}:
            self.classes[name].images += 1
        self.samples.add(record, answer.masks, hidden)
        self.times.add(answer.timings)

    def add_image(self, prepared: Prepared) -> None:
        """Counts what is known of one written image beside its masks."""
        self.turned += prepared.turned
        self.rescaled += prepared.rescaled
        self.several_frames += prepared.several_frames
        self.modes[prepared.mode] += 1
