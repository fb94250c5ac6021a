"""The figures that are there: what `boxmask evaluate` wrote of every run of every row."""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from boxmask_training.reproduce.plan import score_step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from boxmask_training.reproduce.recipe import Recipe, Row
    from boxmask_training.reproduce.stamps import Stamps
    from boxmask_training.reproduce.step import Step


@dataclass(frozen=True, slots=True)
class Figure:
    """Mean and spread over the seeds of a row, in percent.

    Attributes:
        mean: Mean.
        spread: Standard deviation of a sample; None for a single run.
    """

    mean: float
    spread: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure | None:
        """Sums up shares of one, one per run; None where there is none."""
        if not values:
            return None
        return cls(100 * fmean(values), 100 * stdev(values) if len(values) > 1 else None)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a row.

    Attributes:
        seed: Its seed.
        plain: What `boxmask evaluate` found; None while that is pending.
        crf: The same after DenseCRF; None while that is pending, or not asked for.
    """

    seed: int
    plain: Mapping[str, Any] | None
    crf: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Result:
    """What is known of a row.

    Attributes:
        row: The row.
        runs: One per seed.
        classes: Classes that the mean is taken over; empty for all of the truth.
    """

    row: Row
    runs: tuple[Run, ...]
    classes: tuple[str, ...]

    def mean_iou(self, *, crf: bool = False) -> Figure | None:
        """Returns the mean IoU over the runs that are there; None where none is."""
        field = "classes_mean_iou" if self.classes else "mean_iou"
        return Figure.of([float(scores[field]) for scores in self._scores(crf=crf)])

    def class_iou(self, name: str) -> Figure | None:
        """Returns one class's IoU; None where no run is there, or the truth does not have the class."""
        values = [scores["iou"][name] for scores in self._scores(crf=False)]
        return Figure.of([float(value) for value in values if value is not None])

    def class_names(self) -> tuple[str, ...]:
        """Returns the classes to show: the recipe's, or those of the truth; none where no run is there."""
        scores = self._scores(crf=False)
        if self.classes or not scores:
            return self.classes
        return tuple(name for name, iou in scores[0]["iou"].items() if iou is not None)

    def pending(self, *, crf: bool = False) -> int:
        """Returns how many runs have no figure yet."""
        return len(self.runs) - len(self._scores(crf=crf))

    def _scores(self, *, crf: bool) -> list[Mapping[str, Any]]:
        found = [run.crf if crf else run.plain for run in self.runs]
        return [scores for scores in found if scores is not None]


def read_results(recipe: Recipe, steps: Sequence[Step], stamps: Stamps) -> dict[str, Result]:
    """Reads the figures that are current, by the name of their row.

    Args:
        recipe: The recipe.
        steps: All steps of its plan.
        stamps: The record.
    """
    by_name = {step.name: step for step in steps}

    def scores(row: Row, seed: int, *, crf: bool) -> Mapping[str, Any] | None:
        step = by_name.get(score_step(row, seed, crf=crf))
        if step is None or not stamps.is_current(step) or not step.product.is_file():
            return None
        found: Mapping[str, Any] = json.loads(step.product.read_bytes())
        return found

    return {
        row.name: Result(
            row,
            tuple(Run(s, scores(row, s, crf=False), scores(row, s, crf=True)) for s in row.seeds),
            recipe.classes,
        )
        for row in recipe.rows
    }
