"""A reproduction: plan it, carry out what is missing, write the table after every step that scores."""

from __future__ import annotations

import logging
import shlex
from typing import TYPE_CHECKING, Final

from boxmask_core.atomic import write_bytes_atomically
from boxmask_training.reproduce.plan import plan, score_steps
from boxmask_training.reproduce.results import read_results
from boxmask_training.reproduce.runner import carry_out, locked
from boxmask_training.reproduce.stamps import Stamps
from boxmask_training.reproduce.table import to_json, to_markdown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from boxmask_training.reproduce.place import Place
    from boxmask_training.reproduce.recipe import Recipe, Row
    from boxmask_training.reproduce.step import Step

log = logging.getLogger(__name__)

RECORD: Final = "steps"
TABLE: Final = "table.md"
FIGURES: Final = "table.json"


def reproduce(recipe: Recipe, place: Place, rows: Sequence[str] = (), *, jobs: int = 1) -> Path:
    """Carries out what is missing of a recipe and returns the file of its table.

    A step is skipped where its stamp says that it is done and nothing has changed: not its command, nor the
    settings behind it, nor the files of the dataset, nor the steps before it. Another version of boxmask
    redoes nothing by itself.

    Args:
        recipe: What to do.
        place: Where, and on what.
        rows: Names of the rows to do; empty for all. The table shows whatever is done.
        jobs: Steps that run side by side.

    Raises:
        BoxmaskError: The data or the arguments do not fit, or a step failed.
    """
    steps = plan(recipe, place)
    targets = _targets(recipe, rows)
    with locked(place.out) as lock:
        stamps = Stamps(place.out / RECORD, steps)
        missing = stamps.missing(targets)
        log.info("%d steps to do in %s", len(missing), place.out)

        def write_tables(step: Step | None = None) -> None:
            if step is None or step.name in targets:
                results = read_results(recipe, steps, stamps)
                write_bytes_atomically(place.out / FIGURES, to_json(recipe, results))
                write_bytes_atomically(place.out / TABLE, to_markdown(recipe, results).encode())

        write_tables()
        carry_out(missing, stamps, jobs=jobs, threads=place.threads, lock=lock, finished=write_tables)
    return place.out / TABLE


def commands(recipe: Recipe, place: Place, rows: Sequence[str] = ()) -> str:
    """Returns the commands of all steps, one a line, for a shell; those that are done are commented out.

    Arguments and errors as for `reproduce`; nothing is written.
    """
    steps = plan(recipe, place)
    targets = _targets(recipe, rows)
    missing = Stamps(place.out / RECORD, steps).missing(targets)
    lines = []
    for step in _behind(targets, steps):
        command = shlex.join(["boxmask", *step.command()])
        lines += [f"# {step.name}\n{command}\n" if step in missing else f"# {step.name}, done\n# {command}\n"]
    return "".join(lines)


def _targets(recipe: Recipe, rows: Sequence[str]) -> tuple[str, ...]:
    chosen: Sequence[Row] = [recipe.row(name) for name in rows] or recipe.rows
    return tuple(name for row in chosen for name in score_steps(row))


def _behind(targets: Sequence[str], steps: Sequence[Step]) -> list[Step]:
    """Returns the targets and all steps that they need, in the order of the plan."""
    wanted = set(targets)
    for step in reversed(steps):
        if step.name in wanted:
            wanted.update(step.after)
    return [step for step in steps if step.name in wanted]
