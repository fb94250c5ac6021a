"""What a segmentation counts while it runs, and what it says in the end."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from boxmask_convert.result.stage_times import StageTimes
from boxmask_core.palette import BACKGROUND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from boxmask_client import ClassScore, Segmentation
    from boxmask_convert.failures import FailureLog
    from boxmask_convert.settings import SegmentSettings


@dataclass(slots=True)
class ClassFound:
    """What was found of one class.

    Attributes:
        images: Images with at least one pixel of it.
        pixels: Its pixels.
        score: Sum of its probability over them.
    """

    images: int = 0
    pixels: int = 0
    score: float = 0.0

    def add(self, found: ClassScore) -> None:
        """Counts what one image holds of it."""
        self.images += 1
        self.pixels += found.area
        self.score += found.area * found.mean_score


@dataclass(slots=True)
class SegmentTally:
    """What a segmentation counts.

    Attributes:
        images: Label maps written.
        classes: By class index.
        class_names: Names of the classes, the background not among them; empty before the first answer.
        times: Where the work went.
        model_digests: Digests of the networks that answered; more than one if a server changed its own.
    """

    images: int = 0
    classes: dict[int, ClassFound] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    times: StageTimes = field(default_factory=StageTimes)
    model_digests: set[str] = field(default_factory=set)

    def add(self, answer: Segmentation) -> None:
        """Counts one image's answer."""
        self.images += 1
        self.class_names = answer.class_names
        self.model_digests.add(answer.model_digest)
        for found in answer.classes:
            self.classes.setdefault(found.index, ClassFound()).add(found)
        self.times.add(answer.timings)


@dataclass(frozen=True, slots=True)
class SegmentSummary:
    """One segmentation.

    Attributes:
        boxmask: Version of boxmask.
        finished: When, UTC, ISO 8601.
        sources: The images and folders that were named.
        crf: Whether a DenseCRF sharpened the probabilities.
        scales: Sizes that every image was shown at, relative to its own.
        flip: Whether every view was shown mirrored as well.
        segmenter: Who answered.
        model_digests: Digests of the networks that answered.
        images: Images asked about.
        images_segmented: Label maps written.
        images_failed: Images that failed.
        classes: By name: images, pixels and mean probability of those that were found, the background first.
        failures: Failures by kind.
        stage_ms: Milliseconds of work in each stage, all images together; stages run side by side.
        busy: Threads at work in each stage on average, the busiest first: it limits the speed.
        seconds: From the first image to the last.
    """

    boxmask: str
    finished: str
    sources: tuple[str, ...]
    crf: bool
    scales: tuple[float, ...]
    flip: bool
    segmenter: str
    model_digests: tuple[str, ...]
    images: int
    images_segmented: int
    images_failed: int
    classes: Mapping[str, Mapping[str, float]]
    failures: Mapping[str, int]
    stage_ms: Mapping[str, float]
    busy: Mapping[str, float]
    seconds: float

    def to_json(self) -> bytes:
        """Returns the content of ``summary.json``."""
        return (json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n").encode()


def summarise(
    settings: SegmentSettings, segmenter: str, tally: SegmentTally, failures: FailureLog, seconds: float
) -> SegmentSummary:
    """Puts together what was counted.

    Args:
        settings: What was asked for.
        segmenter: Who answered.
        tally: What was made.
        failures: What failed.
        seconds: From the first image to the last.
    """
    names = (BACKGROUND, *tally.class_names)
    return SegmentSummary(
        boxmask=version("boxmask"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        sources=tuple(map(str, settings.images)),
        crf=settings.crf,
        scales=settings.scales,
        flip=settings.flip,
        segmenter=segmenter,
        model_digests=tuple(sorted(tally.model_digests)),
        images=tally.images + failures.images,
        images_segmented=tally.images,
        images_failed=failures.images,
        classes={names[index]: _facts(found) for index, found in sorted(tally.classes.items())},
        failures={kind.value: count for kind, count in sorted(failures.kinds.items())},
        stage_ms=tally.times.totals(),
        busy=tally.times.busy(seconds),
        seconds=round(seconds, 2),
    )


def _facts(found: ClassFound) -> dict[str, float]:
    mean = round(found.score / found.pixels, 4)
    return {"images": found.images, "pixels": found.pixels, "mean_score": mean}
