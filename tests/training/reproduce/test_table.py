from __future__ import annotations

import json
from dataclasses import replace
from statistics import stdev
from typing import TYPE_CHECKING

import pytest

from boxmask_training.reproduce.results import Figure, Result, Run
from boxmask_training.reproduce.table import to_json, to_markdown
from tests.training.reproduce.tiny import RECIPE, ROWS

if TYPE_CHECKING:
    from typing import Any

CLASSES = ("background", "disc")
CFS, TRUTH = replace(ROWS[0], seeds=(0, 1, 2)), ROWS[1]
TABLES = replace(RECIPE, rows=(CFS, TRUTH), classes=CLASSES)


def _scores(mean: float, disc: float | None) -> dict[str, Any]:
    """As `boxmask evaluate --json` writes them."""
    iou = {"background": 0.9, "disc": disc, "square": None}
    return {"images": 2, "classes": CLASSES, "iou": iou, "mean_iou": 0.0, "classes_mean_iou": mean}


def _results(*cfs: Run) -> dict[str, Result]:
    truth = Result(TRUTH, (Run(0, _scores(0.80, 0.7), None),), CLASSES)
    return {"cfs": Result(CFS, cfs, CLASSES), "truth": truth}


ALL = _results(
    Run(0, _scores(0.70, 0.50), _scores(0.72, 0.5)),
    Run(1, _scores(0.74, 0.54), _scores(0.73, 0.5)),
    Run(2, _scores(0.75, 0.55), _scores(0.71, 0.5)),
)


def test_mean_and_spread_are_those_of_the_seeds() -> None:
    markdown = to_markdown(TABLES, ALL)
    spread = stdev([70, 74, 75])
    assert f"| CFS | 73.00 ± {spread:.2f} | 72.00 ± 1.00 | {73 / 80:.3f} | 70.8 |" in markdown
    assert "| true labels | 80.00 | - | 1.000 | 76.2 |" in markdown


def test_a_table_says_what_its_columns_are() -> None:
    lines = to_markdown(TABLES, ALL).splitlines()
    assert lines[0] == "# shapes: 2 of 2 rows"
    assert "mean IoU over background, disc" in lines[2]
    place = lines.index("## Supervision")
    assert lines[place + 2] == "On discs and squares."
    assert lines[place + 4] == "|  | mIoU-2 | with DenseCRF | relative to true labels | paper |"
    assert lines[place + 5] == "| --- | --- | --- | --- | --- |"


def test_every_class_is_shown_by_row() -> None:
    markdown = to_markdown(TABLES, ALL)
    assert "| row | background | disc | mean |" in markdown
    assert f"| cfs | 90.0 | 53.0 | 73.00 ± {stdev([70, 74, 75]):.2f} |" in markdown


def test_a_class_that_the_truth_does_not_have_has_no_figure() -> None:
    nothing = Run(0, _scores(0.7, None), None)
    assert "| cfs | 90.0 | - | 70.00" in to_markdown(TABLES, _results(nothing))


def test_without_chosen_classes_those_of_the_truth_are_shown() -> None:
    scores = {**_scores(0.1, 0.5), "mean_iou": 0.6}
    del scores["classes_mean_iou"]
    result = Result(TRUTH, (Run(0, scores, None),), ())
    recipe = replace(
        RECIPE, rows=(TRUTH,), tables=(replace(RECIPE.tables[0], lines=RECIPE.tables[0].lines[1:]),)
    )
    markdown = to_markdown(recipe, {"truth": result})
    assert "|  | mIoU | relative to true labels | paper |" in markdown
    assert "| row | background | disc | mean |" in markdown
    assert "| truth | 90.0 | 50.0 | 60.00 |" in markdown


def test_what_is_missing_is_pending() -> None:
    markdown = to_markdown(TABLES, _results(Run(0, None, None), Run(1, None, None), Run(2, None, None)))
    assert "# shapes: 1 of 2 rows" in markdown
    assert "| CFS | pending | pending | pending | 70.8 |" in markdown
    assert "| cfs |" not in markdown


def test_a_row_shows_the_seeds_that_are_there() -> None:
    markdown = to_markdown(
        TABLES,
        _results(Run(0, _scores(0.70, 0.5), None), Run(1, _scores(0.74, 0.5), None), Run(2, None, None)),
    )
    spread = stdev([70, 74])
    assert f"| CFS | 72.00 ± {spread:.2f} (1 of 3 pending) | pending | 0.900 | 70.8 |" in markdown
    assert "# shapes: 1 of 2 rows" in markdown


def test_the_json_holds_every_run_and_all_that_was_measured() -> None:
    fields = json.loads(to_json(TABLES, ALL))
    assert fields["recipe"] == "shapes"
    assert fields["classes"] == ["background", "disc"]
    cfs, truth = fields["rows"]
    assert cfs["mean_iou"] == pytest.approx({"mean": 73.0, "standard_deviation": stdev([70, 74, 75])})
    assert cfs["mean_iou_crf"]["mean"] == pytest.approx(72.0)
    assert [run["seed"] for run in cfs["runs"]] == [0, 1, 2]
    assert cfs["runs"][1]["scores"] == json.loads(json.dumps(_scores(0.74, 0.54)))
    assert truth["settings"] == {"attention": "none"}
    assert truth["mean_iou_crf"] is None
    assert truth["runs"][0]["scores_crf"] is None


def test_one_run_has_no_spread() -> None:
    assert Figure.of([0.5]) == Figure(50.0, None)
    assert Figure.of([]) is None
