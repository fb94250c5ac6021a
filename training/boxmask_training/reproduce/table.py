"""The results as Markdown, beside the paper's figures, and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from boxmask_training.reproduce.recipe import Line, Recipe, Table
    from boxmask_training.reproduce.results import Figure, Result

PENDING = "pending"
NONE = "-"


def to_markdown(recipe: Recipe, results: Mapping[str, Result]) -> str:
    """Returns the recipe's tables, then every class's IoU.

    Args:
        recipe: The recipe.
        results: What is known, by row.
    """
    done = sum(not result.pending() for result in results.values())
    classes = f"mean IoU over {', '.join(recipe.classes)}" if recipe.classes else "mean IoU over all classes"
    note = (
        f"In percent: {classes}. Every row has the same network and schedule but for what it names; where "
        "there are several seeds, mean and standard deviation."
    )
    head = [f"# {recipe.name}: {done} of {len(recipe.rows)} rows", "", note, ""]
    parts = [*(_table(recipe, table, results) for table in recipe.tables), _per_class(results)]
    return "\n".join([*head, *(line for part in parts for line in part)])


def to_json(recipe: Recipe, results: Mapping[str, Result]) -> bytes:
    """Returns all figures of every row and run, as JSON."""
    rows = [_fields(result) for result in results.values()]
    fields = {"recipe": recipe.name, "classes": recipe.classes, "val": recipe.val, "rows": rows}
    return json.dumps(fields, indent=2).encode() + b"\n"


def _table(recipe: Recipe, table: Table, results: Mapping[str, Result]) -> list[str]:
    measure = f"mIoU-{len(recipe.classes)}" if recipe.classes else "mIoU"
    crf = any(results[line.row].row.crf for line in table.lines)
    share = [f"relative to {_text_of(table, table.reference)}"] if table.reference else []
    columns = ["", measure, *(["with DenseCRF"] if crf else []), *share, "paper"]
    lines = [_line(line, results, results.get(table.reference), crf=crf) for line in table.lines]
    return [f"## {table.title}", "", table.note, "", *_grid(columns, lines), ""]


def _line(line: Line, results: Mapping[str, Result], reference: Result | None, *, crf: bool) -> list[str]:
    result = results[line.row]
    cells = [line.text, _figure(result, crf=False)]
    if crf:
        cells.append(_figure(result, crf=True) if result.row.crf else NONE)
    if reference is not None:
        mine, whole = result.mean_iou(), reference.mean_iou()
        cells.append(PENDING if mine is None or whole is None else f"{mine.mean / whole.mean:.3f}")
    return [*cells, NONE if line.paper is None else f"{line.paper:.1f}"]


def _per_class(results: Mapping[str, Result]) -> list[str]:
    known = [result for result in results.values() if result.mean_iou() is not None]
    if not known:
        return []
    names = known[0].class_names()
    lines = [
        [result.row.name, *(_number(result.class_iou(name)) for name in names), _figure(result, crf=False)]
        for result in known
    ]
    return ["## Every class, without DenseCRF", "", *_grid(["row", *names, "mean"], lines), ""]


def _figure(result: Result, *, crf: bool) -> str:
    figure, pending = result.mean_iou(crf=crf), result.pending(crf=crf)
    if figure is None:
        return PENDING
    spread = "" if figure.spread is None else f" ± {figure.spread:.2f}"
    return f"{figure.mean:.2f}{spread}" + (f" ({pending} of {len(result.runs)} {PENDING})" if pending else "")


def _number(figure: Figure | None) -> str:
    return NONE if figure is None else f"{figure.mean:.1f}"


def _text_of(table: Table, row: str) -> str:
    return next((line.text for line in table.lines if line.row == row), row)


def _grid(columns: list[str], lines: Iterable[list[str]]) -> list[str]:
    return [_bar(columns), _bar(["---"] * len(columns)), *map(_bar, lines)]


def _bar(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _fields(result: Result) -> dict[str, Any]:
    row = result.row
    return {
        "name": row.name,
        "labels": row.labels,
        "settings": dict(row.changes),
        "mean_iou": _figure_fields(result.mean_iou()),
        "mean_iou_crf": _figure_fields(result.mean_iou(crf=True)),
        "runs": [{"seed": run.seed, "scores": run.plain, "scores_crf": run.crf} for run in result.runs],
    }


def _figure_fields(figure: Figure | None) -> dict[str, float | None] | None:
    return None if figure is None else {"mean": figure.mean, "standard_deviation": figure.spread}
