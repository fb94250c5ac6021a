"""``report.html``: one page that needs nothing else, to judge a conversion by looking at it."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from tqdm import tqdm

from boxmask_convert.report.class_table import class_table
from boxmask_convert.report.facts import facts, images
from boxmask_convert.report.fallback_words import SENTENCES
from boxmask_convert.report.markup import bars, document, histogram, section, table, tile
from boxmask_convert.report.sheet import sheet
from boxmask_convert.report.suspicious_table import suspicious_table
from boxmask_convert.report.thumbnails import draw_thumbnails
from boxmask_core.atomic import write_bytes_atomically
from boxmask_core.grabcut import Fallback

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from boxmask_convert.failures import Failure
    from boxmask_convert.labelers.labeler import Labeler
    from boxmask_convert.result.summary import Summary
    from boxmask_convert.result.tally import Tally
    from boxmask_convert.settings import Settings


def write_report(
    path: Path,
    summary: Summary,
    failures: Sequence[Failure],
    tally: Tally,
    settings: Settings,
    labeler: Labeler,
) -> None:
    """Writes the report.

    Args:
        path: The file.
        summary: What was done.
        failures: The first of what failed.
        tally: Holds the masks to show.
        settings: The conversion's; links to images are those of a page in its ``out``.
        labeler: Draws the steps of the masks to show.
    """
    chooser = tally.samples
    parts = (
        _failures(summary, failures),
        _suspicious(tally, settings),
        sheet(
            "lowest",
            "Lowest quality",
            "The masks to distrust first, at most two of an image.",
            chooser.lowest(),
            settings,
            labeler,
        ),
        sheet(
            "random",
            "Drawn at random",
            "Each other mask had the same chance; a run over the same data draws the same.",
            chooser.random(),
            settings,
            labeler,
        ),
        class_table(summary.classes) if summary.classes else "",
        '<div class="columns">',
        _quality(summary),
        _ladder(summary),
        images(summary),
        _stages(summary),
        "</div>",
        facts(summary, settings),
    )
    body = (
        '<a class="skip" href="#content">Skip to the content</a>'
        f"<main><header>{_heading(summary)}{_navigation(summary, ''.join(parts))}</header>"
        f'<div id="content" tabindex="-1">{_tiles(summary)}{"".join(parts)}</div></main>'
    )
    page = document(f"boxmask: {summary.data}", _resource("page.css"), _resource("page.js"), body)
    # A file name that is no UTF-8 is shown with marks in place of what cannot be said.
    write_bytes_atomically(path, page.encode(errors="replace"))


def _resource(name: str) -> str:
    return files("boxmask_convert.report").joinpath(name).read_text(encoding="utf-8")


def _heading(summary: Summary) -> str:
    split = f", split {summary.split}" if summary.split else ""
    return (
        f'<h1>Boxes to masks</h1><p class="soft"><code>{escape(summary.data)}</code>{escape(split)}'
        f" &rarr; {escape(summary.target)}; masks by {escape(summary.method)}</p>"
    )


_PARTS = {
    "failures": "Failures",
    "suspicious": "Suspicious masks",
    "lowest": "Lowest quality",
    "random": "Drawn at random",
    "classes": "Classes",
    "quality": "Quality",
    "origin": "What gave the masks",
    "images": "Images",
    "time": "Time",
    "conversion": "Conversion",
}


def _navigation(summary: Summary, content: str) -> str:
    failed = sum(summary.failures.values())
    links = "".join(
        f'<li><a href="#{name}">{title}{f" ({failed})" if name == "failures" else ""}</a></li>'
        for name, title in _PARTS.items()
        if f'<section id="{name}"' in content
    )
    return f'<nav aria-label="Sections"><ul>{links}</ul></nav>'


def _tiles(summary: Summary) -> str:
    failed = sum(summary.failures.values())
    mean = sum(entry.mean_quality * entry.boxes for entry in summary.classes.values())
    fresh = summary.images_converted - summary.images_reused
    tiles = (
        tile(f"{summary.images_converted:,} / {summary.images:,}", "images converted"),
        tile(f"{summary.boxes_masked:,} / {summary.boxes:,}", "boxes masked"),
        tile(f"{failed:,}", "failures", bad=failed > 0),
        tile(f"{mean / summary.boxes_masked:.2f}" if summary.boxes_masked else "-", "mean quality"),
        tile(_share(summary), "from a fallback"),
        tile(f"{summary.boxes_hidden:,}", "wholly under others"),
        tile(f"{summary.images_reused:,}", "images of an earlier run") if summary.images_reused else "",
        tile(f"{fresh / max(summary.seconds, 0.01):.1f}", "images per second") if fresh else "",
    )
    return f'<ul class="tiles">{"".join(tiles)}</ul>'


def _share(summary: Summary) -> str:
    if not summary.boxes_masked:
        return "-"
    share = 100 * (1 - summary.fallbacks.get(Fallback.NONE.value, 0) / summary.boxes_masked)
    return f"{share:.1f} %" if 0 < share < 10 else f"{share:.0f} %"


def _failures(summary: Summary, failures: Sequence[Failure]) -> str:
    if not failures:
        return ""
    total = sum(summary.failures.values())
    rows = (
        (
            failure.key,
            "whole image" if failure.box is None else f"box {failure.box}",
            failure.kind,
            failure.message,
        )
        for failure in failures
    )
    explanation = f"{len(failures)} of {total} are shown; errors.jsonl holds them all."
    content = table("What could not be converted", ("Image", "Box", "Kind", "Problem"), rows)
    return section("failures", "Failures", explanation, content)


def _suspicious(tally: Tally, settings: Settings) -> str:
    fills = {name: entry.fills for name, entry in tally.classes.items()}
    suspicions = tally.samples.suspects.suspicions(fills)
    drawn = draw_thumbnails(suspicion.suspect for suspicion in suspicions)
    bar = tqdm(drawn, desc="report", total=len(suspicions), unit="mask", leave=False, disable=None)
    return suspicious_table(suspicions, dict(bar), settings.out)


def _quality(summary: Summary) -> str:
    explanation = (
        "Masks by quality, 0 to 1: how far the mask is to be trusted. An estimate without ground truth, not "
        "an accuracy."
    )
    return section(
        "quality", "Quality", explanation, histogram(summary.qualities, "Masks by tenth of quality")
    )


def _ladder(summary: Summary) -> str:
    rungs = sorted(map(Fallback, summary.fallbacks), key=lambda rung: rung is not Fallback.NONE)
    rows = ((SENTENCES[rung], count := summary.fallbacks[rung], f"{count:,}") for rung in rungs)
    content = bars("Masks by what gave them", ("Origin", "Masks"), rows)
    explanation = "The method, or a fallback where it could not."
    return section("origin", "What gave the masks", explanation, content)


def _stages(summary: Summary) -> str:
    images_done = max(summary.images_converted, 1)
    rows = (
        (stage, threads, f"{threads:.2f} ({summary.stage_ms[stage] / images_done:.1f} ms per image)")
        for stage, threads in summary.busy.items()
    )
    explanation = "Threads at work on average, without waiting. The busiest stage limits the speed."
    return section("time", "Time", explanation, bars("Threads at work by stage", ("Stage", "Busy"), rows))
