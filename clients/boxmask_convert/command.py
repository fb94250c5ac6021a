"""The command ``boxmask convert``: a detection dataset in, a mask dataset out.

Exit status: 0 when everything was converted, 1 when some images or boxes failed (they are named in
``errors.jsonl``) or the run could not be finished, 2 for input that cannot be worked on, 3 when the server
cannot be reached, 130 when interrupted. What was answered before a run ended early is kept: the same command
goes on from there.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

from boxmask_convert.answers.keys import answer_keys
from boxmask_convert.answers.reading import read_ahead
from boxmask_convert.arguments import add_conversion_options, settings_of
from boxmask_convert.endings import told_endings
from boxmask_convert.failures import ERRORS, SOME_FAILED
from boxmask_convert.losses import refuse_losses
from boxmask_convert.on_ray.engine import fill_by_ray
from boxmask_convert.opening import open_journal, open_labeler
from boxmask_convert.plan import make_plan
from boxmask_convert.report.page import write_report
from boxmask_convert.result.files import open_result
from boxmask_convert.result.manifest import Manifest, digest_of, output_of
from boxmask_convert.result.outcome import told_outcome
from boxmask_convert.result.stage import JOURNAL, SUMMARY, Stage, require_free
from boxmask_convert.result.summary import Summary, summarise
from boxmask_convert.result.tally import Tally
from boxmask_convert.run import Work, run
from boxmask_convert.shard_run import run_shard
from boxmask_core.errors import DatasetError
from boxmask_core.locations import location

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxmask_convert.answers.keys import AnswerKeys
    from boxmask_convert.plan import Plan
    from boxmask_convert.settings import Settings

REPORT: Final = "report.html"


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Args:
        argv: Arguments after ``boxmask convert``.

    Returns:
        The exit status.

    Raises:
        BoxmaskError: Nothing could be done, or the run could not be finished.
    """
    parser = _parser()
    settings = settings_of(parser, parser.parse_args(argv))
    refuse_losses(settings)
    plan = make_plan(settings)
    with told_endings(settings):
        keys = answer_keys(settings)
        if settings.shard is not None:
            return run_shard(plan, keys, settings.shard)
        earlier = _earlier(settings)
        if earlier is not None and _is_done(earlier, plan, keys):
            return _nothing_to_do(earlier, settings)
        return _convert(plan, keys)


def convert(work: Work, out: Path) -> Summary:
    """Converts a dataset into a folder.

    Args:
        work: What to convert, and who makes the masks.
        out: An empty folder for the masks, ``errors.jsonl``, ``report.html`` and, last, ``summary.json``.

    Returns:
        What was done.
    """
    tally = Tally(work.plan.settings.overlaps)
    start = perf_counter()
    with open_result(out, work.plan) as files:
        run(work, files, tally)
    seconds = perf_counter() - start
    writer, failures, who = files.writer, files.failures, work.labeler.description
    summary = summarise(work.plan, who, tally, failures, writer.losses, seconds, writer.notes)
    if work.plan.settings.report:
        write_report(out / REPORT, summary, failures.first, tally, work.plan.settings, work.labeler)
    failed = failures.images + failures.boxes
    Manifest(output_of(work.plan), files.records.hexdigest(), failed).write(out)
    (out / SUMMARY).write_bytes(summary.to_json())
    return summary


def _convert(plan: Plan, keys: AnswerKeys) -> int:
    settings = plan.settings
    with Stage(settings.out, overwrite=True) as stage:
        with open_labeler(settings) as labeler:
            sys.stdout.write(plan.describe(labeler.description))
            if settings.engine == "ray":
                fill_by_ray(plan, keys, stage)
                settings = replace(settings, retry_failed=False)  # they were asked about again just now
            with open_journal(stage, settings) as journal:
                if len(journal) and settings.engine == "local":
                    sys.stdout.write(f"journal {len(journal)} answers of earlier runs\n")
                sys.stdout.flush()
                summary = convert(Work(plan, keys, journal, labeler), stage.root)
                _require_something(summary, settings)
                journal.keep_unused(stage.root / JOURNAL)
        stage.commit()
    sys.stdout.write(told_outcome(summary, settings, plan.dataset.notes))
    return SOME_FAILED if summary.failures else 0


def _require_something(summary: Summary, settings: Settings) -> None:
    """Keeps a result from being replaced by nothing: an image folder that is not mounted, for example."""
    if settings.out.exists() and any(settings.out.iterdir()) and not summary.images_converted:
        kinds = ", ".join(f"{times} {kind}" for kind, times in summary.failures.items())
        problem = f"none of its {summary.images} images could be converted ({kinds})"
        raise DatasetError(settings.data, f"{problem}; {settings.out} is left as it was")


def _earlier(settings: Settings) -> Manifest | None:
    """Returns the manifest of the result at OUT, if it may be brought up to date without being told to."""
    earlier = Manifest.read(settings.out)
    same_kind = earlier is not None and earlier.output.get("target") == settings.target
    require_free(settings.out, overwrite=settings.overwrite or same_kind)
    return earlier


def _is_done(earlier: Manifest, plan: Plan, keys: AnswerKeys) -> bool:
    if earlier.output != output_of(plan) or (earlier.failed and plan.settings.retry_failed):
        return False
    return earlier.images == digest_of(read_ahead(plan, keys))


def _nothing_to_do(earlier: Manifest, settings: Settings) -> int:
    sys.stdout.write(f"done    nothing to do: {settings.out} is what this command makes\n")
    if earlier.failed:
        sys.stdout.write(
            f"failed  {earlier.failed} in the run that made it, see {settings.out / ERRORS}; "
            "--retry-failed asks again\n"
        )
    return SOME_FAILED if earlier.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="boxmask convert",
        usage="%(prog)s DATA OUT --to FORMAT [options]",
        description="Turn a detection dataset (images and boxes) into a mask dataset.",
        epilog="Exit status: 0 all converted; 1 some images or boxes failed (see errors.jsonl), or the run "
        "was not finished; 2 bad input; 3 server unreachable; 130 interrupted. What was answered is kept: "
        "the same command goes on from there, and does nothing when all is done.",
    )
    parser.add_argument(
        "data", type=location, metavar="DATA", help="the detection dataset: a folder, a file or a URL"
    )
    parser.add_argument(
        "out", type=Path, metavar="OUT", help="the folder to make; it appears when all is done"
    )
    add_conversion_options(parser)
    return parser
