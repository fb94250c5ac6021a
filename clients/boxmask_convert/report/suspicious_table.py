"""The report's table of masks to look at."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from boxmask_convert.report.fallback_words import SHORT
from boxmask_convert.report.image_links import linked
from boxmask_convert.report.markup import definitions, scrolling, section

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from boxmask_convert.result.suspicious import Suspicion


@dataclass(frozen=True, slots=True)
class _Measure:
    """A column of numbers.

    Attributes:
        title: Its title.
        meaning: What the numbers are.
        value: Gives the number of a mask, or None where it is not known.
        words: Writes a number.
    """

    title: str
    meaning: str
    value: Callable[[Suspicion], float | None]
    words: Callable[[float], str] = "{:.2f}".format

    def cell(self, suspicion: Suspicion) -> str:
        """Returns the cell of a mask; it is sorted by the number, not by the words."""
        value = self.value(suspicion)
        if value is None:
            return '<td class="number" data-value="">&ndash;</td>'
        return f'<td class="number" data-value="{value:.6g}">{self.words(value)}</td>'


def _signed(value: float) -> str:
    sign = "+" if value >= 0.005 else "&minus;" if value <= -0.005 else ""
    return f"{sign}{abs(value):.2f}"


_MEASURES: Final = (
    _Measure(
        "Quality",
        "How far the mask is to be trusted, judged without ground truth.",
        lambda each: each.suspect.quality,
    ),
    _Measure(
        "Tightness",
        "How much of the box the mask's own bounding box covers: a box is drawn tight.",
        lambda each: each.suspect.signals.tightness,
    ),
    _Measure("Fill", "The part of the box that the mask covers.", lambda each: each.suspect.signals.fill),
    _Measure(
        "Against class",
        "Fill minus the median fill of the class.",
        lambda each: each.suspect.signals.fill - each.median_fill,
        _signed,
    ),
    _Measure(
        "Parts",
        "Pieces that the mask falls into; what stands before an object makes two or three.",
        lambda each: each.suspect.signals.parts,
        "{:.0f}".format,
    ),
    _Measure(
        "Certainty",
        "How far the network's probabilities in the box are from even odds.",
        lambda each: each.suspect.signals.certainty,
    ),
    _Measure(
        "Agreement",
        "IoU of the network's own mask (CFS) with the one that GrabCut made of it.",
        lambda each: each.suspect.signals.agreement,
    ),
    _Measure(
        "Separation",
        "How unlike the mask's colours are to those around it.",
        lambda each: each.suspect.signals.separation,
    ),
    _Measure(
        "Rivalry",
        "The largest IoU with another mask of the image.",
        lambda each: each.suspect.signals.rivalry,
    ),
    _Measure(
        "Hidden",
        "The part of the mask that lies under other masks when every pixel gets one owner.",
        lambda each: each.suspect.hidden,
    ),
)
# Shown by the script alone: without it the table cannot be filtered.
_FILTERS: Final = (
    '<div class="filters" role="search" aria-label="Suspicious masks" data-for="suspicious-masks" hidden>'
    '<label>Class <select data-filter="class"><option value="">all</option></select></label>'
    '<label>Reason <select data-filter="reasons"><option value="">all</option></select></label>'
    '<label>Find <input type="search" placeholder="image, box, class, reason"></label>'
    '<output class="soft" aria-live="polite"></output></div>'
)


def suspicious_table(suspicions: Sequence[Suspicion], thumbnails: Mapping[int, str], out: Path) -> str:
    """Returns the section, or nothing where nothing is suspicious.

    Measures that no mask has are left out: certainty without a network, for example.

    Args:
        suspicions: The masks, the lowest quality first.
        thumbnails: A picture of each as a ``data:`` address, by its place; empty where there is none.
        out: The folder that the page lies in.
    """
    if not suspicions:
        return ""
    measures = [
        measure for measure in _MEASURES if any(measure.value(each) is not None for each in suspicions)
    ]
    head = (
        '<th scope="col">Mask</th><th scope="col" data-sort="text">Image and box</th>'
        '<th scope="col" data-sort="text">Class</th><th scope="col" data-sort="text">Why listed</th>'
        f"{''.join(map(_heading, measures))}"
        '<th scope="col" data-sort="text">Fallback</th>'
    )
    rows = "".join(_row(each, measures, thumbnails.get(each.suspect.place, ""), out) for each in suspicions)
    content = (
        '<table class="sortable" id="suspicious-masks"><caption class="unseen">Masks to look at, sortable by '
        f"each column</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )
    explanation = (
        "The masks to look at first, and why: the worst by quality, and those that stand out otherwise. The "
        "name of an image opens it; a column's title sorts."
    )
    meanings = definitions(
        [
            *((measure.title, measure.meaning) for measure in measures),
            ("Fallback", "What gave the mask where the method itself could not."),
        ]
    )
    return section(
        "suspicious",
        "Suspicious masks",
        explanation,
        _FILTERS
        + scrolling("Suspicious masks", content, tall=True)
        + f"<details><summary>What the columns mean</summary>{meanings}</details>",
    )


def _heading(measure: _Measure) -> str:
    order = ' aria-sort="ascending"' if measure.title == "Quality" else ""
    return f'<th scope="col" class="number" data-sort="number"{order}>{measure.title}</th>'


def _row(suspicion: Suspicion, measures: Sequence[_Measure], thumbnail: str, out: Path) -> str:
    suspect = suspicion.suspect
    name = escape(suspect.instance.class_name)
    box = escape(suspect.instance.id)
    key = escape(suspect.key)
    what = f"mask of {name}, box {box} in {key}"
    picture = f'<img class="zoom" src="{thumbnail}" alt="{what}">' if thumbnail else "not drawn"
    link = linked(suspect.key, suspect.path, out)
    reasons = escape("|".join(reason for reason, _ in suspicion.reasons))
    sentences = "".join(f"<li>{escape(sentence)}</li>" for _, sentence in suspicion.reasons)
    return (
        f'<tr data-class="{name}" data-reasons="{reasons}"><td class="thumb">{picture}</td>'
        f'<th scope="row">{link} <span class="soft">box&nbsp;{box}</span></th>'
        f"<td>{name}</td><td><ul>{sentences}</ul></td>"
        f"{''.join(measure.cell(suspicion) for measure in measures)}"
        f"<td>{escape(SHORT[suspect.fallback])}</td></tr>"
    )
