"""The report's table of classes: how quality and fill are distributed in each."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from boxmask_convert.report.markup import scrolling, section, sparkline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from boxmask_convert.result.summary import ClassSummary

_HEAD: Final = (
    ("Class", "text", False),
    ("Images", "number", True),
    ("Masks", "number", True),
    ("Quality, and its median", "number", False),
    ("Fill of the box, and its median", "number", False),
    ("From a fallback", "number", True),
    ("Wholly hidden", "number", True),
)
"""Title, what it is sorted as, and whether it is set right."""
_TALL: Final = 24
"""Classes from which on the table scrolls by itself."""


def class_table(classes: Mapping[str, ClassSummary]) -> str:
    """Returns the section.

    Args:
        classes: By name.
    """
    head = "".join(
        f'<th scope="col" data-sort="{kind}"{" class=number" if right else ""}>{escape(title)}</th>'
        for title, kind, right in _HEAD
    )
    rows = "".join(_row(name, entry) for name, entry in classes.items())
    content = (
        '<table class="sortable"><caption class="unseen">Masks of each class, their quality and their fill'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )
    explanation = (
        "How the masks of each class are spread from 0 to 1; the line marks the median. Fill is the part of "
        "the box that the mask covers. Classes without a mask are left out."
    )
    region = scrolling("Classes", content, tall=len(classes) >= _TALL)
    return section("classes", "Classes", explanation, region)


def _row(name: str, entry: ClassSummary) -> str:
    return (
        f'<tr><th scope="row">{escape(name)}</th>{_number(entry.images)}{_number(entry.boxes)}'
        f"{_spread(f'Quality of {name}', entry.qualities, entry.median_quality)}"
        f"{_spread(f'Fill of {name}', entry.fills, entry.median_fill)}"
        f"{_number(entry.fallbacks)}{_number(entry.hidden)}</tr>"
    )


def _number(value: int) -> str:
    return f'<td class="number" data-value="{value}">{value:,}</td>'


def _spread(what: str, counts: Sequence[int], median: float) -> str:
    chart = sparkline(counts, median, f"{what}: median {median:.2f}, {_range(counts)}")
    return f'<td class="spread" data-value="{median}"><div>{chart}<b>{median:.2f}</b></div></td>'


def _range(counts: Sequence[int]) -> str:
    filled = [i for i, count in enumerate(counts) if count]
    if not filled:
        return "no values"
    return f"from {filled[0] / len(counts):.2f} to {(filled[-1] + 1) / len(counts):.2f}"
