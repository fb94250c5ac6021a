"""The command line of a conversion, which ``boxmask convert`` and ``boxmask plan`` share."""

from __future__ import annotations

import argparse
from typing import get_args

from boxmask_convert.options import (
    add_network_options,
    check_network_options,
    number,
    positive,
    server_access,
)
from boxmask_convert.progress import ProgressStyle
from boxmask_convert.settings import Settings, Shard, SizeMismatch
from boxmask_core.compositing import OverlapPolicy, Overlaps
from boxmask_core.engines import GRABCUT_ENGINES
from boxmask_core.formats import READERS, WRITERS
from boxmask_core.formats.limits import LIMITS
from boxmask_core.quality import UNCERTAIN


def settings_of(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Settings:
    """Returns what a command line asks for; ends the command where that contradicts itself.

    Args:
        parser: With `add_conversion_options`, and arguments ``data`` and ``out``.
        options: What it read.
    """
    check_network_options(parser, options, "grabcut_engine")
    if options.engine == "ray" and options.shard is not None:
        parser.error("--engine ray shares the work out by itself: leave out --shard")
    if options.engine == "ray" and options.server is not None:
        parser.error("--engine ray brings its own networks: leave out --server")
    if not options.refine and options.method != "cfs":
        parser.error("--no-refine belongs to --method cfs: other methods have no network's mask to keep")
    if bool(options.priority) != (options.overlaps == "priority"):
        parser.error("--overlaps priority and --priority CLASS,... go together")
    if options.void_uncertain is not None and not LIMITS[options.to].overlaps:
        maps = ", ".join(sorted(name for name, limits in LIMITS.items() if limits.overlaps))
        parser.error(
            f"--void-uncertain: {options.to} holds no void, only label maps do ({maps}); leave it out"
        )
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
        overlaps=Overlaps(options.overlaps, options.priority),
        void_below=options.void_uncertain,
        allow_lossy=options.allow_lossy,
        size_mismatch=options.size_mismatch,
        images=options.images,
        engine=options.engine,
        shard=options.shard,
        retry_failed=options.retry_failed,
        max_errors=options.max_errors,
        progress=options.progress,
    )


def add_conversion_options(parser: argparse.ArgumentParser) -> None:
    """Adds every option of a conversion."""
    _add_dataset_options(parser.add_argument_group("dataset"))
    _add_mask_options(parser.add_argument_group("masks"))
    _add_output_options(parser.add_argument_group("output"))
    _add_run_options(parser.add_argument_group("run"))


def _add_dataset_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--from", dest="source", metavar="FORMAT", help=f"of DATA: {', '.join(READERS)} (default: found out)"
    )
    group.add_argument("--split", metavar="NAME", help="part of DATA (default: all annotated images)")
    group.add_argument(
        "--images", metavar="PLACE", help="folder or URL of the images, if not where DATA says"
    )
    group.add_argument("--limit", type=positive, metavar="N", help="the first N images only")
    group.add_argument(
        "--voc-origin",
        choices=["auto", "1", "0"],
        default="auto",
        help="whether VOC boxes count from 1 or 0 (default: auto, by the boxes)",
    )
    group.add_argument(
        "--size-mismatch",
        choices=get_args(SizeMismatch),
        default="error",
        help="of an image whose size is not the declared one: fail it (default), scale its boxes, or take "
        "them as they are",
    )


def _add_mask_options(group: argparse._ArgumentGroup) -> None:
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


def _add_output_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--to", required=True, choices=sorted(WRITERS), help="format of the masks")
    group.add_argument(
        "--allow-lossy", action="store_true", help="write a format that cannot hold the masks as they are"
    )
    group.add_argument(
        "--overlaps",
        choices=get_args(OverlapPolicy),
        default="area",
        help="who owns a pixel that several masks claim, in formats with one owner a pixel: the smaller box "
        "(default), the later box, the better score, the class that --priority names first, or nobody (void)",
    )
    group.add_argument(
        "--priority",
        type=_names,
        default=(),
        metavar="CLASS,...",
        help="for --overlaps priority, the top class first",
    )
    group.add_argument(
        "--void-uncertain",
        type=_score,
        nargs="?",
        const=UNCERTAIN,
        metavar="QUALITY",
        help=f"write void instead of masks of lower quality into label maps (default: {UNCERTAIN:g})",
    )
    group.add_argument(
        "--report",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write report.html (default)",
    )
    group.add_argument(
        "--overwrite", action="store_true", help="replace an earlier result of another format in OUT"
    )


def _add_run_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--engine",
        choices=["local", "ray"],
        default="local",
        help="who shares out the work: this process (default), or Ray over its cluster, where --workers are "
        "the CPUs of each worker",
    )
    group.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="make the masks of the I-th of N parts, I from 0, and keep them for a run without --shard, "
        "which writes OUT",
    )
    group.add_argument(
        "--retry-failed", action="store_true", help="ask again about images that failed in an earlier run"
    )
    group.add_argument(
        "--max-errors", type=_count, metavar="N", help="give up when more than N images failed"
    )
    group.add_argument(
        "--progress",
        choices=get_args(ProgressStyle),
        default="auto",
        help="on the standard error: a bar on a terminal, JSON lines elsewhere (auto, the default)",
    )


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"expected class names, each once, with commas, but got {text!r}")
    return names


def _score(text: str) -> float:
    value = number(text, float)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a quality from 0 to 1, but got {value:g}")
    return value


def _count(text: str) -> int:
    value = number(text, int)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a number of images from 0 up, but got {value}")
    return value


def _shard(text: str) -> Shard:
    index, slash, count = text.partition("/")
    if not (slash and index.isascii() and count.isascii() and index.isdigit() and count.isdigit()):
        raise argparse.ArgumentTypeError(f"expected I/N, for example 0/4, but got {text!r}")
    if int(count) == 0:
        raise argparse.ArgumentTypeError(f"expected at least one part, but got {text!r}")
    if int(index) >= int(count):
        raise argparse.ArgumentTypeError(
            f"expected a part from 0 to {int(count) - 1} of {int(count)}, but got {int(index)}"
        )
    return Shard(int(index), int(count))
