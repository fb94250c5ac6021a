"""The report's contact sheets."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from tqdm import tqdm

from boxmask_convert.report.contact_sheet import draw_rows
from boxmask_convert.report.image_links import linked
from boxmask_convert.report.markup import section

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from boxmask_convert.labelers.labeler import Labeler
    from boxmask_convert.report.contact_sheet import Picture, Row
    from boxmask_convert.result.samples import Sample
    from boxmask_convert.settings import Settings


def sheet(
    name: str,
    title: str,
    explanation: str,
    samples: Sequence[Sample],
    settings: Settings,
    labeler: Labeler,
) -> str:
    """Returns a section with a row of pictures for each mask, or nothing without masks.

    Args:
        name: What links name it by.
        title: Its title.
        explanation: Which masks it shows.
        samples: The masks.
        settings: The conversion's.
        labeler: Answers for the steps.
    """
    if not samples:
        return ""
    rows = draw_rows(samples, settings, labeler)
    bar = tqdm(rows, desc="report", total=len(samples), unit="row", leave=False, disable=None)
    lines = "".join(_row(row, settings.out) for row in bar)
    explanation += " Framed: the mask that was written. Quality is judged without ground truth."
    return section(name, title, explanation, f'<div class="sheet">{lines}</div>')


def _row(row: Row, out: Path) -> str:
    sample = row.sample
    link = linked(sample.record.key, sample.record.path, out)
    heading = (
        f"<h3>{escape(sample.instance.class_name)} <span>in {link}, box {escape(sample.instance.id)}, "
        f"quality {sample.quality:.2f}</span></h3>"
    )
    if row.problem:
        return f'<div class="row">{heading}<p class="problem">not drawn: {escape(row.problem)}</p></div>'
    cells = "".join(_cell(picture, sample) for picture in row.pictures)
    return f'<div class="row">{heading}<div class="cells">{cells}</div></div>'


def _cell(picture: Picture, sample: Sample) -> str:
    alt = escape(
        f"{picture.title}: {sample.instance.class_name}, box {sample.instance.id} in {sample.record.key}"
    )
    badge = '<span class="badge">written</span>' if picture.written else ""
    note = f'<br><span class="soft">{escape(picture.note)}</span>' if picture.note else ""
    return (
        f'<figure{" class=written" if picture.written else ""}><div class="frame">'
        f'<img class="zoom" src="{picture.uri}" alt="{alt}"></div>'
        f"<figcaption>{escape(picture.title)}{badge}{note}</figcaption></figure>"
    )
