"""The command ``boxmask reproduce``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from boxmask_training.reproduce import voc12, voc_animals
from boxmask_training.reproduce.place import Place
from boxmask_training.reproduce.reproduce import commands, reproduce
from boxmask_training.reproduce.runner import stopped_by_sigterm

if TYPE_CHECKING:
    from collections.abc import Sequence

# As in boxmask_training.run, which imports torch: what waits for other processes for days can do without.
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")
RECIPES = {recipe.name: recipe for recipe in (voc12.RECIPE, voc_animals.RECIPE)}


def parser() -> argparse.ArgumentParser:
    """Builds the command line."""
    out = argparse.ArgumentParser(
        prog="boxmask reproduce",
        description="Reproduce the paper's tables: proposals, CFS, pseudo-labels, segmentation networks, "
        "scores. Give the same command again to go on with what was stopped; what is done and unchanged is "
        "skipped.",
    )
    out.add_argument("config", choices=sorted(RECIPES), help="what to reproduce")
    out.add_argument("--data", type=Path, required=True, help="folder in the layout of VOC 2012")
    out.add_argument("--out", type=Path, required=True, help="folder of all that is made, and of the table")
    out.add_argument("--rows", default="", metavar="NAME,...", help="rows to do (default: all)")
    out.add_argument("--jobs", type=_positive, default=1, help="steps side by side; the cores are shared out")
    out.add_argument("--dry-run", action="store_true", help="print the commands of all steps, and do nothing")
    out.add_argument(
        "--cfs-bundle", type=Path, metavar="DIR", help="bundle to make CFS's labels with (default: train CFS)"
    )
    out.add_argument("--device", choices=DEVICES, default="auto", help="where networks run")
    out.add_argument(
        "--precision", choices=PRECISIONS, default="32-true", help="of the arithmetic of training"
    )
    return out


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Args:
        argv: Arguments after ``boxmask reproduce``.

    Returns:
        The exit status.
    """
    arguments = parser().parse_args(argv)
    recipe = RECIPES[arguments.config]
    rows = [name for name in arguments.rows.split(",") if name]
    place = Place(
        data=arguments.data,
        out=arguments.out,
        cfs_bundle=arguments.cfs_bundle,
        device=arguments.device,
        precision=arguments.precision,
        threads=max(1, len(os.sched_getaffinity(0)) // arguments.jobs),
    )
    if arguments.dry_run:
        sys.stdout.write(commands(recipe, place, rows))
        return 0
    with stopped_by_sigterm():
        table = reproduce(recipe, place, rows, jobs=arguments.jobs)
    sys.stdout.write(table.read_text(encoding="utf-8"))
    return 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, but got {value}")
    return value
