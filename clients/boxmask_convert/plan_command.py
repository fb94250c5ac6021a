"""The command ``boxmask plan``: what a conversion would do, find wrong, lose and take. It writes nothing.

Exit status: 0 when all of it can be converted, 1 when something would not be (or ``--allow-lossy`` is
needed), 2 for input that cannot be worked on, 3 when the server cannot be reached, 130 when interrupted.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from boxmask_convert.arguments import add_conversion_options, settings_of
from boxmask_convert.plan import make_plan
from boxmask_convert.result.stage import require_free
from boxmask_convert.survey.dataset import Surveyor
from boxmask_convert.survey.forecast import Forecast
from boxmask_convert.survey.trial import TrialImages, check_target, run_trial
from boxmask_core.checks import rules
from boxmask_core.locations import location

if TYPE_CHECKING:
    from collections.abc import Sequence

PROBLEMS = 1
"""Exit status where something would not be converted."""
_SOMEWHERE = Path("masks")
"""Stands for OUT where none is named."""


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Args:
        argv: Arguments after ``boxmask plan``.

    Returns:
        The exit status.

    Raises:
        BoxmaskError: The dataset cannot be opened, the format cannot hold it, or no server can be reached.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    settings = settings_of(parser, options)
    if settings.out is not _SOMEWHERE:
        require_free(settings.out, overwrite=True)
    plan = make_plan(settings)
    check_target(plan)
    surveyor, chosen = Surveyor(plan.dataset, len(plan), settings.size_mismatch), TrialImages(len(plan))
    for record in surveyor:
        chosen.add(record)
    survey = surveyor.survey
    trial, failed = run_trial(plan, chosen.chosen, survey) if options.trial and chosen.chosen else (None, [])
    for key, problem in failed:
        survey.findings.add(rules.CORRUPT_IMAGE, key, problem)
    forecast = Forecast(plan, survey, trial, _free_bytes(settings.out))
    if options.json:
        sys.stdout.write(json.dumps(forecast.to_json(), indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(forecast.describe())
    return PROBLEMS if forecast.problems else 0


def _free_bytes(out: Path) -> int:
    """Returns what is free where a folder is or would be made."""
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    return shutil.disk_usage(place).free


class _Parser(argparse.ArgumentParser):
    """Takes OUT after options too: argparse itself does so only where it may not be left out."""

    def parse_args(self, args: Sequence[str], namespace: None = None) -> argparse.Namespace:  # type: ignore[override]  # the one way it is called here
        return self.parse_intermixed_args(args, namespace)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="boxmask plan",
        usage="%(prog)s DATA [OUT] --to FORMAT [options]",
        description="Say what a conversion would do, what is wrong with the dataset, what the format loses, "
        "and how long it would take. Writes nothing. Takes the options of boxmask convert.",
        epilog="Exit status: 0 all of it can be converted; 1 something would not be, or --allow-lossy is "
        "needed; 2 bad input; 3 server unreachable; 130 interrupted.",
    )
    parser.add_argument(
        "data", type=location, metavar="DATA", help="the detection dataset: a folder, a file or a URL"
    )
    parser.add_argument(
        "out", type=Path, metavar="OUT", nargs="?", default=_SOMEWHERE, help="where the masks would go"
    )
    add_conversion_options(parser)
    group = parser.add_argument_group("plan")
    group.add_argument(
        "--no-trial",
        dest="trial",
        action="store_false",
        help="convert no images for trial, and so estimate neither time nor disk",
    )
    group.add_argument(
        "--json", action="store_true", help="print one JSON object instead of lines for people"
    )
    return parser
