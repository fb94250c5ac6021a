"""The command ``boxmask convert``: a detection dataset in, a mask dataset out.

Exit status: 0 when everything was converted, 3 when some images or boxes failed (they are named in
``errors.jsonl``) and the rest was converted, 1 when nothing could be done, 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

from boxmask_convert.asking import WINDOW
from boxmask_convert.failures import ERRORS, SOME_FAILED, FailureLog
from boxmask_convert.local_labeler import open_local_labeler
from boxmask_convert.options import add_network_options, check_network_options, positive, server_access
from boxmask_convert.plan import make_plan
from boxmask_convert.remote_labeler import open_remote_labeler
from boxmask_convert.report import write_report
from boxmask_convert.run import run
from boxmask_convert.settings import Settings
from boxmask_convert.stage import SUMMARY, Stage
from boxmask_convert.stage_times import told
from boxmask_convert.summary import Summary, summarise
from boxmask_convert.tally import Tally
from boxmask_core.bundle import CFS
from boxmask_core.engines import GRABCUT_ENGINES
from boxmask_core.formats import READERS, WRITERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxmask_convert.labeler import Labeler
    from boxmask_convert.plan import Plan

REPORT: Final = "report.html"


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Args:
        argv: Arguments after ``boxmask convert``.

    Returns:
        The exit status.

    Raises:
        BoxmaskError: Nothing could be done.
    """
    settings = _settings(_parser(), argv)
    plan = make_plan(settings)
    with Stage(settings.out, overwrite=settings.overwrite) as stage:
        with _open_labeler(settings) as labeler:
            sys.stdout.write(plan.describe(labeler.description))
            sys.stdout.flush()
            summary = convert(plan, labeler, stage.root)
        stage.commit()
    sys.stdout.write(_outcome(summary, settings))
    return SOME_FAILED if summary.failures else 0


def convert(plan: Plan, labeler: Labeler, out: Path) -> Summary:
    """Converts a dataset into a folder.

    Args:
        plan: What to convert.
        labeler: Who makes the masks.
        out: An empty folder for the masks, ``errors.jsonl``, ``report.html`` and, last, ``summary.json``.

    Returns:
        What was done.
    """
    tally = Tally()
    start = perf_counter()
    with (
        FailureLog(out / ERRORS) as failures,
        WRITERS[plan.settings.target](out, plan.dataset.class_names) as writer,
    ):
        run(plan, labeler, writer, failures, tally)
    seconds = perf_counter() - start
    summary = summarise(plan, labeler.description, tally, failures, writer.losses, seconds)
    if plan.settings.report:
        write_report(out / REPORT, summary, failures.first, tally.samples, plan.settings, labeler)
    (out / SUMMARY).write_bytes(summary.to_json())
    return summary


def _open_labeler(settings: Settings) -> Labeler:
    if settings.server is not None:
        network = CFS if settings.method == "cfs" else None
        return open_remote_labeler(settings.server, window=WINDOW, network=network)
    return open_local_labeler(settings)


def _outcome(summary: Summary, settings: Settings) -> str:
    rate = summary.images_converted / summary.seconds if summary.seconds else 0.0
    count = f"{summary.images_converted} of {summary.images} images, {summary.boxes_masked} masks"
    lines = [
        f"done    {count}, in {summary.seconds:.1f} s ({rate:.1f} images/s)",
        *(f"lost    {loss}: {times}" for loss, times in summary.losses.items()),
    ]
    if summary.failures:
        kinds = ", ".join(f"{times} {kind}" for kind, times in summary.failures.items())
        lines.append(f"failed  {kinds}; see {settings.out / ERRORS}")
    if settings.report:
        lines.append(f"report  {settings.out / REPORT}")
    return "".join(f"{line}\n" for line in lines) + told(summary.busy)


def _settings(parser: argparse.ArgumentParser, argv: Sequence[str]) -> Settings:
    options = parser.parse_args(argv)
    check_network_options(parser, options, "grabcut_engine")
    return Settings(
        data=options.data,
        out=options.out,
        target=options.to,
        source=options.source,
        split=options.split,
        method=options.method,
        refine=options.refine,
        bundle=options.bundle,
        server=server_access(parser, options),
        device=options.device or "auto",
        workers=options.workers,
        grabcut_engine=options.grabcut_engine or "boxmask",
        voc_origin=options.voc_origin,
        limit=options.limit,
        report=options.report,
        overwrite=options.overwrite,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="boxmask convert",
        description="Turn a detection dataset (images and boxes) into a mask dataset.",
        epilog="Exit status: 0 all converted, 3 some images or boxes failed (see errors.jsonl), 1 none done.",
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="the detection dataset")
    parser.add_argument(
        "out", type=Path, metavar="OUT", help="the folder to make; it appears when all is done"
    )
    parser.add_argument("--to", required=True, choices=sorted(WRITERS), help="format of the masks")
    parser.add_argument(
        "--from", dest="source", choices=sorted(READERS), help="format of DATA (default: found out)"
    )
    parser.add_argument("--split", metavar="NAME", help="part of DATA (default: all annotated images)")
    parser.add_argument("--limit", type=positive, metavar="N", help="convert the first N images only")
    parser.add_argument(
        "--voc-origin",
        choices=["auto", "1", "0"],
        default="auto",
        help="whether VOC boxes count from 1 or 0",
    )
    _add_mask_options(parser)
    parser.add_argument(
        "--report",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write report.html (default)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier conversion in OUT")
    return parser


def _add_mask_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("masks")
    group.add_argument(
        "--method", choices=["box", "grabcut", "cfs"], default="cfs", help="how masks are made (default: cfs)"
    )
    group.add_argument(
        "--no-refine", dest="refine", action="store_false", help="keep the network's masks as they are"
    )
    group.add_argument(
        "--grabcut-engine", choices=GRABCUT_ENGINES, help="who computes GrabCut (default: boxmask)"
    )
    add_network_options(group)
