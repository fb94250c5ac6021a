"""The command ``boxmask segment``: images in, label maps out.

Exit status: 0 when every image was segmented, 1 when some failed (they are named in ``errors.jsonl``) and the
rest was segmented, 2 for input that cannot be worked on, 3 when the server cannot be reached, 130 when
interrupted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from boxmask_convert.answers.asking import WINDOW
from boxmask_convert.failures import ERRORS, SOME_FAILED, FailureLog
from boxmask_convert.labelers.local import open_local_segmenter
from boxmask_convert.labelers.remote import open_remote_segmenter
from boxmask_convert.options import add_network_options, check_network_options, server_access
from boxmask_convert.result.stage import SUMMARY, Stage
from boxmask_convert.result.stage_times import told
from boxmask_convert.segment.images import chosen, find_images
from boxmask_convert.segment.run import SCORES, run
from boxmask_convert.segment.summary import SegmentTally, summarise
from boxmask_convert.settings import SegmentSettings
from boxmask_core.engines import CRF_ENGINES
from boxmask_core.errors import InvalidRequestError
from boxmask_core.formats.class_names import write_class_names
from boxmask_core.segmentation import checked_scales

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxmask_convert.failures import Failure
    from boxmask_convert.labelers.labeler import Segmenter
    from boxmask_convert.segment.images import ImageFile
    from boxmask_convert.segment.summary import SegmentSummary


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Args:
        argv: Arguments after ``boxmask segment``.

    Returns:
        The exit status.

    Raises:
        BoxmaskError: Nothing could be done.
    """
    settings = _settings(_parser(), argv)
    images, missing = chosen(find_images(settings.images), settings.ids)
    with Stage(settings.out, overwrite=settings.overwrite) as stage:
        with _open_segmenter(settings) as segmenter:
            sys.stdout.write(_plan(settings, len(images) + len(missing), segmenter.description))
            sys.stdout.flush()
            summary = segment(images, missing, settings, segmenter, stage.root)
        stage.commit()
    sys.stdout.write(_outcome(summary, settings))
    return SOME_FAILED if summary.failures else 0


def segment(
    images: Sequence[ImageFile],
    missing: Sequence[Failure],
    settings: SegmentSettings,
    segmenter: Segmenter,
    out: Path,
) -> SegmentSummary:
    """Segments images into a folder.

    Args:
        images: The images.
        missing: What is known to fail already.
        settings: What was asked for.
        segmenter: Who answers.
        out: An empty folder for ``KEY.png``, ``class_names.txt`` (where there is a label map),
            ``errors.jsonl`` and, last, ``summary.json``.

    Returns:
        What was done.
    """
    tally = SegmentTally()
    start = perf_counter()
    with FailureLog(out / ERRORS) as failures:
        for failure in missing:
            failures.add(failure)
        run(images, settings, segmenter, out, failures, tally)
    if tally.class_names:
        write_class_names(out, tally.class_names)
    summary = summarise(settings, segmenter.description, tally, failures, perf_counter() - start)
    (out / SUMMARY).write_bytes(summary.to_json())
    return summary


def _open_segmenter(settings: SegmentSettings) -> Segmenter:
    if settings.server is not None:
        return open_remote_segmenter(settings.server, window=WINDOW)
    return open_local_segmenter(settings)


def _plan(settings: SegmentSettings, images: int, segmenter: str) -> str:
    views = f"scales {', '.join(f'{scale:g}' for scale in settings.scales)}"
    ways = [views, *(["mirrored too"] if settings.flip else []), *(["DenseCRF"] if settings.crf else [])]
    lines = [
        f"from    {', '.join(map(str, settings.images))}: {images} images",
        f"maps    {', '.join(ways)}, by {segmenter}",
        f"to      {settings.out}",
    ]
    return "".join(f"{line}\n" for line in lines)


def _outcome(summary: SegmentSummary, settings: SegmentSettings) -> str:
    rate = summary.images_segmented / summary.seconds if summary.seconds else 0.0
    count = f"{summary.images_segmented} of {summary.images} images"
    lines = f"done    {count}, in {summary.seconds:.1f} s ({rate:.1f} images/s)\n"
    if summary.failures:
        kinds = ", ".join(f"{times} {kind}" for kind, times in summary.failures.items())
        lines += f"failed  {kinds}; see {settings.out / ERRORS}\n"
    return lines + told(summary.busy)


def _settings(parser: argparse.ArgumentParser, argv: Sequence[str]) -> SegmentSettings:
    options = parser.parse_intermixed_args(argv)
    check_network_options(parser, options, "crf_engine")
    return SegmentSettings(
        images=tuple(options.images),
        out=options.out,
        ids=options.ids,
        bundle=options.bundle,
        server=server_access(parser, options),
        device=options.device or "auto",
        workers=options.workers,
        crf=options.crf,
        crf_engine=options.crf_engine or "boxmask",
        scales=options.scales,
        flip=options.flip,
        scores=options.scores,
        overwrite=options.overwrite,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="boxmask segment",
        description="Give every pixel of images its class: indexed PNG with VOC's palette.",
        epilog="Exit status: 0 all segmented; 1 some images failed (see errors.jsonl); 2 bad input; 3 server "
        "unreachable; 130 interrupted.",
    )
    parser.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE|DIR", help="images, or folders of them"
    )
    parser.add_argument(
        "out", type=Path, metavar="OUT", help="the folder to make; it appears when all is done"
    )
    parser.add_argument("--ids", type=Path, metavar="FILE", help="keys to segment, one a line (default: all)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result in OUT")
    maps = parser.add_argument_group("label maps")
    maps.add_argument("--crf", action="store_true", help="sharpen them with a DenseCRF")
    maps.add_argument("--crf-engine", choices=CRF_ENGINES, help="who computes it (default: boxmask)")
    maps.add_argument(
        "--scales",
        type=_scales,
        default=(1.0,),
        metavar="S,...",
        help="average over these sizes (default: 1)",
    )
    maps.add_argument("--flip", action="store_true", help="average over the mirrored image, too")
    maps.add_argument(
        "--scores", action="store_true", help=f"write probabilities, too: OUT/{SCORES}/KEY/CLASS_INDEX.png"
    )
    add_network_options(parser.add_argument_group("networks"))
    return parser


def _scales(text: str) -> tuple[float, ...]:
    try:
        return checked_scales([float(part) for part in text.split(",")])
    except InvalidRequestError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
