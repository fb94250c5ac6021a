"""``report.html``: one page that needs nothing else, to judge a conversion by looking at it."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from tqdm import tqdm

from boxmask_convert.contact_sheet import draw_rows
from boxmask_convert.markup import bars, definitions, histogram, section, table, tile
from boxmask_core.atomic import write_bytes_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from boxmask_convert.contact_sheet import Picture, Row
    from boxmask_convert.failures import Failure
    from boxmask_convert.labeler import Labeler
    from boxmask_convert.samples import Sample, SampleChooser
    from boxmask_convert.settings import Settings
    from boxmask_convert.summary import Summary

LADDER: Final = {
    "none": "the method itself",
    "tiny_box": "box under 3 pixels a side: filled",
    "box_covers_image": "box covers the image: GrabCut on a box shrunk by a rim",
    "constant_colour": "all pixels equal: the filled box, or the network's own mask",
    "empty_foreground": "no certain foreground: the filled box, or the network's own mask",
    "empty_background": "no certain background: the network's own mask",
    "small_mask": "mask under 15 % of its box: the filled box, or the network's own mask",
    "cfs_silent": "the network found under 15 % of the box: GrabCut from the box",
}
"""What gave a mask, by the name of the rung."""


def write_report(
    path: Path,
    summary: Summary,
    failures: Sequence[Failure],
    chooser: SampleChooser,
    settings: Settings,
    labeler: Labeler,
) -> None:
    """Writes the report.

    Args:
        path: The file.
        summary: What was done.
        failures: The first of what failed.
        chooser: The masks to show.
        settings: The conversion's.
        labeler: Draws the steps of the masks to show.
    """
    lowest, spread = chooser.lowest(), chooser.spread()
    sheets = (
        _sheet(
            "Lowest quality",
            "The masks to distrust first, at most two of an image.",
            lowest,
            settings,
            labeler,
        ),
        _sheet("Across the dataset", "Other masks, evenly spread.", spread, settings, labeler),
    )
    write_bytes_atomically(path, _page(summary, failures, sheets).encode())


def _page(summary: Summary, failures: Sequence[Failure], sheets: Sequence[str]) -> str:
    style = files("boxmask_convert").joinpath("report.css").read_text(encoding="utf-8")
    title = f"boxmask: {summary.data}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>"
        f"{_heading(summary)}{_tiles(summary)}{_failures(summary, failures)}{''.join(sheets)}"
        f'{_classes(summary)}<div class="columns">{_quality(summary)}{_ladder(summary)}'
        f"{_stages(summary)}{_settings(summary)}</div>"
        "</main></body></html>\n"
    )


def _heading(summary: Summary) -> str:
    split = f", split {summary.split}" if summary.split else ""
    return (
        f"<h1>Boxes to masks</h1><p class='soft'><code>{escape(summary.data)}</code>{escape(split)}"
        f" &rarr; {escape(summary.target)}; masks by {escape(summary.method)}</p>"
    )


def _tiles(summary: Summary) -> str:
    failed = sum(summary.failures.values())
    mean = sum(entry.mean_quality * entry.boxes for entry in summary.classes.values())
    tiles = (
        tile(f"{summary.images_converted} / {summary.images}", "images converted"),
        tile(f"{summary.boxes_masked} / {summary.boxes}", "boxes masked"),
        tile(str(failed), "failures", bad=failed > 0),
        tile(f"{mean / summary.boxes_masked:.2f}" if summary.boxes_masked else "-", "mean quality"),
        tile(_share(summary), "from a fallback"),
        tile(f"{summary.images_converted / max(summary.seconds, 0.01):.1f}", "images per second"),
    )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _share(summary: Summary) -> str:
    fallen = summary.boxes_masked - summary.fallbacks.get("none", 0)
    return f"{100 * fallen / summary.boxes_masked:.0f} %" if summary.boxes_masked else "-"


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
    return section("Failures", explanation, table(("Image", "Box", "Kind", "Problem"), rows))


def _sheet(
    title: str, explanation: str, samples: Sequence[Sample], settings: Settings, labeler: Labeler
) -> str:
    if not samples:
        return ""
    rows = draw_rows(samples, settings, labeler)
    bar = tqdm(rows, desc="report", total=len(samples), unit="row", leave=False, disable=None)
    lines = "".join(_row(row) for row in bar)
    explanation += " Framed: the mask that was written. Quality is judged without ground truth."
    return section(title, explanation, f'<div class="sheet">{lines}</div>')


def _row(row: Row) -> str:
    sample = row.sample
    name = f"{escape(sample.instance.class_name)} <span>in {escape(sample.record.key)}, box"
    heading = f"<h3>{name} {escape(sample.instance.id)}, quality {sample.quality:.2f}</span></h3>"
    if row.problem:
        return f'<div class="row">{heading}<p class="problem">not drawn: {escape(row.problem)}</p></div>'
    cells = "".join(_cell(picture, sample) for picture in row.pictures)
    return f'<div class="row">{heading}<div class="cells">{cells}</div></div>'


def _cell(picture: Picture, sample: Sample) -> str:
    alt = escape(f"{picture.title}: {sample.instance.class_name} in {sample.record.key}")
    badge = '<span class="badge">written</span>' if picture.written else ""
    note = f'<br><span class="soft">{escape(picture.note)}</span>' if picture.note else ""
    return (
        f'<figure{" class=written" if picture.written else ""}><div class="frame">'
        f'<img src="{picture.uri}" alt="{alt}"></div>'
        f"<figcaption>{escape(picture.title)}{badge}{note}</figcaption></figure>"
    )


def _classes(summary: Summary) -> str:
    head = ("Class", "Images", "Masks", "Mean quality", "Mean fill of the box", "From a fallback")
    rows = (
        (name, entry.images, entry.boxes, entry.mean_quality, entry.mean_fill, entry.fallbacks)
        for name, entry in summary.classes.items()
    )
    return section("Classes", "Classes without a mask are left out.", table(head, rows))


def _quality(summary: Summary) -> str:
    explanation = (
        "Masks by quality, 0 to 1: how well the mask fits its box, and how sure and steady the network was."
        " An estimate without ground truth, not an accuracy."
    )
    return section("Quality", explanation, histogram(summary.qualities, "Masks by tenth of quality"))


def _ladder(summary: Summary) -> str:
    rows = ((LADDER[rung], count, f"{count}") for rung, count in summary.fallbacks.items())
    return section(
        "What gave the masks", "The method, or a fallback where it could not.", bars(("", "Masks"), rows)
    )


def _stages(summary: Summary) -> str:
    images = max(summary.images_converted, 1)
    rows = (
        (stage, threads, f"{threads:.2f} ({summary.stage_ms[stage] / images:.1f} ms per image)")
        for stage, threads in summary.busy.items()
    )
    explanation = "Threads at work on average, without waiting. The busiest stage limits the speed."
    return section("Time", explanation, bars(("Stage", "Busy"), rows))


def _settings(summary: Summary) -> str:
    pairs = [
        ("Data", summary.data),
        ("Split", summary.split or "all annotated images"),
        ("Format", summary.target),
        ("Method", summary.method),
        ("Made by", summary.labeler),
        ("Network", ", ".join(summary.model_digests)),
        ("Turned upright", f"{summary.images_turned} images" if summary.images_turned else ""),
        *(("Note", note) for note in summary.notes),
        *(("Lost", f"{loss}: {count}") for loss, count in summary.losses.items()),
        ("boxmask", summary.boxmask),
        ("Finished", summary.finished),
    ]
    return section(
        "Conversion", "What was asked for, and what the format could not hold.", definitions(pairs)
    )
