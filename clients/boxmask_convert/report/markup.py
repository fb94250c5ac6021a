"""Small pieces of HTML; everything that comes from outside is escaped here."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_BAR_WIDTH: Final = 44
_CHART_HEIGHT: Final = 120
_SPARK_WIDTH: Final = 120
_SPARK_HEIGHT: Final = 28


def document(title: str, style: str, script: str, body: str) -> str:
    """Returns a whole page that loads nothing and runs nothing but what is given here.

    Args:
        title: Plain text.
        style: CSS.
        script: JavaScript, without ``</script``.
        body: HTML.
    """
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_source(style)}'; script-src '{_source(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{style}</style></head>"
        f"<body>{body}<script>{script}</script></body></html>\n"
    )


def section(name: str, title: str, explanation: str, content: str) -> str:
    """Returns a titled card.

    Args:
        name: What links name it by.
        title: Its title, plain text.
        explanation: A sentence under the title, plain text.
        content: HTML.
    """
    return (
        f'<section id="{escape(name)}" aria-labelledby="{escape(name)}-title">'
        f'<h2 id="{escape(name)}-title">{escape(title)}</h2>'
        f'<p class="soft small">{escape(explanation)}</p>{content}</section>'
    )


def tile(value: str, label: str, *, bad: bool = False) -> str:
    """Returns a large figure with its label, both plain text."""
    return f'<li class="tile{" bad" if bad else ""}"><b>{escape(value)}</b> {escape(label)}</li>'


def scrolling(label: str, content: str, *, tall: bool = False) -> str:
    """Returns a part that scrolls by itself, with the keyboard too.

    Args:
        label: What it holds, plain text, for those who do not see it.
        content: HTML.
        tall: Whether it scrolls down as well.
    """
    kind = "scroll tall" if tall else "scroll"
    return f'<div class="{kind}" role="region" tabindex="0" aria-label="{escape(label)}">{content}</div>'


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str | int | float]]) -> str:
    """Returns a table; numbers are set right, floats with two decimals. The first column names the row.

    Args:
        caption: What it shows, plain text, for those who do not see it.
        head: Titles of the columns, plain text.
        rows: Cells: plain text, or numbers.
    """
    rows = [tuple(row) for row in rows]
    numeric = [not isinstance(value, str) for value in rows[0]] if rows else [False] * len(head)
    titles = "".join(
        f'<th scope="col"{" class=number" if right else ""}>{escape(title)}</th>'
        for title, right in zip(head, numeric, strict=True)
    )
    lines = "".join(f"<tr>{_cells(row)}</tr>" for row in rows)
    return scrolling(
        caption,
        f'<table><caption class="unseen">{escape(caption)}</caption><thead><tr>{titles}</tr></thead>'
        f"<tbody>{lines}</tbody></table>",
    )


def bars(caption: str, head: tuple[str, str], rows: Iterable[tuple[str, float, str]]) -> str:
    """Returns a table with a bar for every value.

    Args:
        caption: What it shows, plain text, for those who do not see it.
        head: Titles of the name column and of the value column.
        rows: Name, value and the value in words.
    """
    rows = list(rows)
    largest = max((value for _, value, _ in rows), default=0.0) or 1.0
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td class="bar">{_bar(value / largest)}</td>'
        f'<td class="number">{escape(words)}</td></tr>'
        for name, value, words in rows
    )
    name, value = map(escape, head)
    titles = f'<th scope="col">{name}</th><td></td><th scope="col" class="number">{value}</th>'
    return scrolling(
        caption,
        f'<table><caption class="unseen">{escape(caption)}</caption><thead><tr>{titles}</tr></thead>'
        f"<tbody>{lines}</tbody></table>",
    )


def histogram(counts: Sequence[int], title: str) -> str:
    """Returns a bar chart of counts over equal parts of 0 to 1.

    Args:
        counts: One count per part.
        title: What is counted, for those who do not see it.
    """
    largest = max(counts, default=0) or 1
    width, base = _BAR_WIDTH * len(counts), _CHART_HEIGHT + 16
    marks = []
    for i, count in enumerate(counts):
        height = _CHART_HEIGHT * count / largest
        y = base - height
        x = i * _BAR_WIDTH + 2
        marks.append(f'<rect x="{x}" y="{y:.1f}" width="{_BAR_WIDTH - 4}" height="{height:.1f}" rx="3"/>')
        if count:
            middle = x + _BAR_WIDTH / 2 - 2
            marks.append(f'<text x="{middle}" y="{y - 4:.1f}" text-anchor="middle">{count}</text>')
    axis = f'<line x1="0" x2="{width}" y1="{base}" y2="{base}"/>'
    ends = "".join(
        f'<text x="{width * i / 4}" y="{base + 14}" text-anchor="{anchor}">{i / 4:g}</text>'
        for i, anchor in enumerate(("start", "middle", "middle", "middle", "end"))
    )
    words = f"{title}: {', '.join(map(str, counts))}"
    return (
        f'<svg class="chart" viewBox="0 0 {width} {base + 18}" role="img" aria-label="{escape(words)}">'
        f"{''.join(marks)}{axis}{ends}</svg>"
    )


def sparkline(counts: Sequence[int], median: float, title: str) -> str:
    """Returns a small bar chart without figures, with a line at the median.

    Args:
        counts: One count per equal part of 0 to 1.
        median: 0 to 1.
        title: What is counted, for those who do not see it.
    """
    largest = max(counts, default=0) or 1
    step = _SPARK_WIDTH / max(len(counts), 1)
    # A bar of one mask among thousands is still to be seen.
    heights = [max(_SPARK_HEIGHT * count / largest, 1.5) if count else 0.0 for count in counts]
    path = "".join(
        f"M{i * step:g} {_SPARK_HEIGHT}v-{height:.1f}h{step - 1:g}v{height:.1f}z"
        for i, height in enumerate(heights)
        if height
    )
    return (
        f'<svg class="spark" viewBox="0 0 {_SPARK_WIDTH} {_SPARK_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}"><path d="{path}"/><line class="axis" x1="0" x2="{_SPARK_WIDTH}" '
        f'y1="{_SPARK_HEIGHT}" y2="{_SPARK_HEIGHT}"/><line class="median" x1="{_SPARK_WIDTH * median:.1f}" '
        f'x2="{_SPARK_WIDTH * median:.1f}" y1="0" y2="{_SPARK_HEIGHT}"/></svg>'
    )


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """Returns a list of names and values, plain text; pairs without a value are left out."""
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs if value)
    return f"<dl>{lines}</dl>"


def _source(text: str) -> str:
    """Returns what a Content-Security-Policy calls an inline text by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _bar(share: float) -> str:
    return (
        '<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{max(100 * share, 1):.1f}" height="10"/></svg>'
    )


def _cells(row: Sequence[str | int | float]) -> str:
    first, *others = row
    name = escape(str(first))
    return f'<th scope="row">{name}</th>' + "".join(map(_cell, others))


def _cell(value: str | int | float) -> str:
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    return (
        f'<td class="number">{value:.2f}</td>'
        if isinstance(value, float)
        else f'<td class="number">{value}</td>'
    )
