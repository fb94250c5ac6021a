"""What a conversion did, for programs (summary.json) and for the report."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from boxmask_convert.plan import method_name
from boxmask_convert.result.versions import versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from boxmask_convert.failures import FailureLog
    from boxmask_convert.plan import Plan
    from boxmask_convert.result.tally import ClassTally, Tally

TENTHS: Final = 10
TWENTIETHS: Final = 20


@dataclass(frozen=True, slots=True)
class ClassSummary:
    """One class.

    Attributes:
        boxes: Masks written.
        images: Images with at least one of them.
        mean_quality: Mean quality of the masks, 0 to 1.
        mean_fill: Mean fraction of the box that the masks fill, 0 to 1.
        fallbacks: Masks that a fallback gave.
        hidden: Masks that lie wholly under others when they are flattened.
        median_quality: Median quality, to within a hundredth.
        median_fill: Median fraction of the box that the masks fill, to within a hundredth.
        qualities: Masks by twentieth of quality, from 0 to 1.
        fills: Masks by twentieth of the fraction of the box that they fill.
    """

    boxes: int
    images: int
    mean_quality: float
    mean_fill: float
    fallbacks: int
    hidden: int
    median_quality: float
    median_fill: float
    qualities: tuple[int, ...]
    fills: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """One conversion.

    Attributes:
        boxmask: Version of boxmask.
        versions: Versions of boxmask and of what it stands on, by name.
        finished: When, UTC, ISO 8601.
        data: The detection dataset.
        split: Its part, or None for all.
        target: Format of the mask dataset.
        method: How masks were made, in words.
        labeler: Who made them.
        model_digests: Digests of the networks that answered.
        notes: What the reader decided or left out, and what is unusual about the files written.
        images: Images in the plan.
        images_converted: Images written.
        images_reused: Images among them whose masks an earlier run made.
        images_failed: Images that failed.
        images_turned: Images whose boxes were drawn on the stored pixels, and were turned upright.
        images_rescaled: Images whose boxes were drawn on another size, and were scaled.
        images_of_several_frames: Animations and files of several pages; the first was masked.
        modes: Images by Pillow's name of their pixel layout, "RGB" or "CMYK" for example.
        boxes: Boxes that the dataset holds, as far as its annotations could be read.
        boxes_masked: Masks written.
        boxes_failed: Boxes that failed by themselves, in images that may have been converted.
        boxes_hidden: Masks that lie wholly under others when they are flattened.
        classes: By name, in the dataset's order.
        fallbacks: Masks by the rung of the ladder that gave them.
        qualities: Masks by tenth of quality, from 0 to 1.
        failures: Failures by kind.
        losses: What the format could not hold, and how often.
        stage_ms: Milliseconds of work in each stage, all images together; stages run side by side.
        busy: Threads at work in each stage on average, the busiest first: it limits the speed.
        seconds: From the first image to the last.
    """

    boxmask: str
    versions: Mapping[str, str]
    finished: str
    data: str
    split: str | None
    target: str
    method: str
    labeler: str
    model_digests: tuple[str, ...]
    notes: tuple[str, ...]
    images: int
    images_converted: int
    images_reused: int
    images_failed: int
    images_turned: int
    images_rescaled: int
    images_of_several_frames: int
    modes: Mapping[str, int]
    boxes: int
    boxes_masked: int
    boxes_failed: int
    boxes_hidden: int
    classes: Mapping[str, ClassSummary]
    fallbacks: Mapping[str, int]
    qualities: tuple[int, ...]
    failures: Mapping[str, int]
    losses: Mapping[str, int]
    stage_ms: Mapping[str, float]
    busy: Mapping[str, float]
    seconds: float

    def to_json(self) -> bytes:
        """Returns the content of ``summary.json``."""
        return (json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n").encode()


def summarise(
    plan: Plan,
    labeler: str,
    tally: Tally,
    failures: FailureLog,
    losses: Mapping[str, int],
    seconds: float,
    notes: Sequence[str] = (),
) -> Summary:
    """Puts together what was counted.

    Args:
        plan: What was to be done.
        labeler: Who made the masks.
        tally: What was made.
        failures: What failed.
        losses: What the format could not hold, and how often.
        seconds: From the first image to the last.
        notes: What is unusual about the files written.
    """
    order = (name for name in plan.dataset.class_names if name in tally.classes)
    return Summary(
        boxmask=version("boxmask"),
        versions=versions(in_process=plan.settings.server is None),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        data=str(plan.settings.data),
        split=plan.settings.split,
        target=plan.settings.target,
        method=method_name(plan.settings),
        labeler=labeler,
        model_digests=tuple(sorted(tally.model_digests)),
        notes=(*plan.dataset.notes, *notes),
        images=len(plan),
        images_converted=tally.images,
        images_reused=tally.reused,
        images_failed=failures.images,
        images_turned=tally.turned,
        images_rescaled=tally.rescaled,
        images_of_several_frames=tally.several_frames,
        modes=dict(sorted(tally.modes.items())),
        boxes=tally.annotated,
        boxes_masked=tally.boxes,
        boxes_failed=failures.boxes,
        boxes_hidden=sum(entry.hidden for entry in tally.classes.values()),
        classes={name: _class_summary(tally.classes[name]) for name in order},
        fallbacks={rung.value: count for rung, count in sorted(tally.fallbacks.items())},
        qualities=tally.qualities.counts(TENTHS),
        failures={kind.value: count for kind, count in sorted(failures.kinds.items())},
        losses=dict(losses),
        stage_ms=tally.times.totals(),
        busy=tally.times.busy(seconds),
        seconds=round(seconds, 2),
    )


def _class_summary(tally: ClassTally) -> ClassSummary:
    return ClassSummary(
        boxes=tally.boxes,
        images=tally.images,
        mean_quality=round(tally.qualities.mean, 4),
        mean_fill=round(tally.fills.mean, 4),
        fallbacks=tally.fallbacks,
        hidden=tally.hidden,
        median_quality=round(tally.qualities.quantile(0.5), 2),
        median_fill=round(tally.fills.quantile(0.5), 2),
        qualities=tally.qualities.counts(TWENTIETHS),
        fills=tally.fills.counts(TWENTIETHS),
    )
