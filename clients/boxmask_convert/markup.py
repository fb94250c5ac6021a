"""Small pieces of HTML; everything that comes from outside is escaped here."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_BAR_WIDTH: Final = 44
_CHART_HEIGHT: Final = 120


def section(title: str, explanation: str, content: str) -> str:
    """Returns a titled card.

    Args:
        title: Its title, plain text.
        explanation: A sentence under the title, plain text.
        content: HTML.
    """
    return (
        f'<section><h2>{escape(title)}</h2><p class="soft small">{escape(explanation)}</p>{content}</section>'
    )


def tile(value: str, label: str, *, bad: bool = False) -> str:
    """Returns a large figure with its label, both plain text."""
    return f'<div class="tile{" bad" if bad else ""}"><b>{escape(value)}</b>{escape(label)}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[str | int | float]]) -> str:
    """Returns a table; numbers are set right, floats with two decimals.

    Args:
        head: Titles of the columns, plain text.
        rows: Cells: plain text, or numbers.
    """
    body = [[_cell(value) for value in row] for row in rows]
    numeric = [cell.startswith('<td class="number"') for cell in body[0]] if body else [False] * len(head)
    titles = "".join(
        f'<th class="number">{escape(title)}</th>' if right else f"<th>{escape(title)}</th>"
        for title, right in zip(head, numeric, strict=True)
    )
    lines = "".join(f"<tr>{''.join(row)}</tr>" for row in body)
    return f'<div class="scroll"><table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table></div>'


def bars(head: tuple[str, str], rows: Iterable[tuple[str, float, str]]) -> str:
    """Returns a table with a bar for every value.

    Args:
        head: Titles of the name column and of the value column.
        rows: Name, value and the value in words.
    """
    rows = list(rows)
    largest = max((value for _, value, _ in rows), default=0.0) or 1.0
    lines = "".join(
        f"<tr><td>{escape(name)}</td>"
        f'<td class="bar"><span style="width:{100 * value / largest:.1f}%"></span></td>'
        f'<td class="number">{escape(words)}</td></tr>'
        for name, value, words in rows
    )
    titles = f'<th>{escape(head[0])}</th><th></th><th class="number">{escape(head[1])}</th>'
    return f'<div class="scroll"><table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table></div>'


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
    return (
        f'<svg viewBox="0 0 {width} {base + 18}" role="img" aria-label="{escape(title)}">'
        f"{''.join(marks)}{axis}{ends}</svg>"
    )


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """Returns a list of names and values, plain text; pairs without a value are left out."""
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs if value)
    return f"<dl>{lines}</dl>"


def _cell(value: str | int | float) -> str:
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    return (
        f'<td class="number">{value:.2f}</td>'
        if isinstance(value, float)
        else f'<td class="number">{value}</td>'
    )
