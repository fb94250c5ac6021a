"""What ``boxmask plan`` found, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from boxmask_convert.plan import method_name
from boxmask_convert.survey.dataset import SIZES
from boxmask_core.formats.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from boxmask_convert.plan import Plan
    from boxmask_convert.survey.dataset import Survey
    from boxmask_convert.survey.estimate import Estimate
    from boxmask_convert.survey.trial import Trial

_MINUTE, _HOUR = 60, 3600


@dataclass(frozen=True, slots=True)
class Forecast:
    """A plan, and what is to be expected of it.

    Attributes:
        plan: What is planned.
        survey: What the dataset holds, and what is wrong with it.
        trial: What a few images took, or None where none were tried.
        free_bytes: What is free where the output would go.
    """

    plan: Plan
    survey: Survey
    trial: Trial | None
    free_bytes: int

    @property
    def needs_allow_lossy(self) -> bool:
        """Whether the format changes masks, and the user has not allowed it."""
        return LIMITS[self.plan.settings.target].lossy and not self.plan.settings.allow_lossy

    @property
    def problems(self) -> int:
        """Images, annotations and boxes that would not be converted; one more where nothing would be."""
        return self.survey.findings.errors + self.needs_allow_lossy

    def to_json(self) -> dict[str, Any]:
        """Returns the machine-readable form; README describes its fields."""
        settings, limits = self.plan.settings, LIMITS[self.plan.settings.target]
        return {
            "data": str(settings.data),
            "split": settings.split,
            "notes": list(self.plan.dataset.notes),
            "dataset": self.survey.to_json(),
            "problems": self.survey.findings.to_json(),
            "method": method_name(settings),
            "target": settings.target,
            "losses": {
                "shapes": list(limits.shapes),
                "overlaps": list(limits.overlaps),
                "records": list(limits.records),
            },
            "needs_allow_lossy": self.needs_allow_lossy,
            "trial": self.trial.to_json() if self.trial is not None else None,
            "free_bytes": self.free_bytes,
            "convertible": self.problems == 0,
        }

    def describe(self) -> str:
        """Returns the plan in lines for people."""
        return "".join(
            (
                _lines(self._dataset_lines()),
                self.survey.findings.describe(),
                _lines(self._target_lines()),
                _lines(self._trial_lines()),
                self._verdict(),
            )
        )

    def _dataset_lines(self) -> list[tuple[str, str]]:
        survey, settings = self.survey, self.plan.settings
        split = f", split {settings.split}" if settings.split else ""
        lines = [("from", f"{settings.data}{split}")]
        lines += [("note", note) for note in self.plan.dataset.notes]
        lines.append(
            (
                "images",
                f"{survey.usable_images} of {survey.images} can be converted; {_size(survey.bytes)}, "
                "{} to {} x {} to {} pixels".format(*survey.widths, *survey.heights),
            )
        )
        kinds = [_counts(survey.formats), _counts(survey.modes)]
        if survey.orientations:
            kinds.append(f"turned upright by EXIF: {survey.orientations.total()}")
        if survey.several_frames:
            kinds.append(f"several frames or pages, of which the first is taken: {survey.several_frames}")
        lines.append(("", "; ".join(kind for kind in kinds if kind)))
        sizes = ", ".join(f"{survey.sizes[size]} {size}" for size in SIZES)
        lines.append(("boxes", f"{survey.usable_boxes} of {survey.boxes}; {sizes} (COCO's sizes, by area)"))
        for name, entry in survey.classes.items():
            sizes = ", ".join(f"{entry.sizes[size]} {size}" for size in SIZES if entry.sizes[size])
            lines.append(("class", f"{name}: boxes {entry.boxes}, images {entry.images} ({sizes})"))
        return lines

    def _target_lines(self) -> list[tuple[str, str]]:
        settings, limits = self.plan.settings, LIMITS[self.plan.settings.target]
        lines = [("masks", method_name(settings)), ("to", settings.target)]
        lines += [("loses", f"{loss} (shapes change: needs --allow-lossy)") for loss in limits.shapes]
        lines += [("loses", f"{loss} (--overlaps {settings.overlaps.policy})") for loss in limits.overlaps]
        lines += [("loses", f"{loss} (no mask changes)") for loss in limits.records]
        return lines

    def _trial_lines(self) -> list[tuple[str, str]]:
        trial = self.trial
        if trial is None:
            return [("trial", "none")]
        told = f"{trial.images} images in {trial.seconds:.1f} s, after {trial.start_seconds:.1f} s to start"
        lines = [("trial", f"{told}, by {trial.labeler}")]
        lines.append(("time", f"about {_ranged(trial.time, _seconds)}"))
        lines.append(("disk", f"about {_ranged(trial.disk, _size)}; free: {_size(self.free_bytes)}"))
        return lines

    def _verdict(self) -> str:
        told = []
        if errors := self.survey.findings.errors:
            told.append(f"{errors} problems: what they name would not be converted, all else would")
        if self.needs_allow_lossy:
            told.append(f"{self.plan.settings.target} cannot hold every mask as it is: add --allow-lossy")
        return _lines([("result", each) for each in told or ["all of it can be converted"]])


def _lines(lines: list[tuple[str, str]]) -> str:
    return "".join(f"{word:<8}{text}\n" for word, text in lines if text)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))


def _ranged(estimate: Estimate, told: Callable[[float], str]) -> str:
    return f"{told(estimate.expected)} ({told(estimate.low)} to {told(estimate.high)})"


def _seconds(value: float) -> str:
    if value < 2 * _MINUTE:
        return f"{value:.1f} s"
    return f"{value / _MINUTE:.0f} min" if value < 2 * _HOUR else f"{value / _HOUR:.1f} h"


def _size(value: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
