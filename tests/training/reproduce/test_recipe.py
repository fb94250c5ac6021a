from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from boxmask_core.errors import TrainingError
from boxmask_training import cfs_command, lgsa_command
from boxmask_training.options import overridden
from boxmask_training.reproduce.command import DEVICES, PRECISIONS, RECIPES
from boxmask_training.reproduce.recipe import Config, Line, Recipe, Row, Table
from tests.training.reproduce.tiny import CFS, LGSA, RECIPE

RECIPES_TO_TRY = [*RECIPES.values(), RECIPE]


@pytest.mark.parametrize("recipe", RECIPES_TO_TRY, ids=lambda recipe: recipe.name)
def test_a_rows_options_give_its_settings_to_the_training_command(recipe: Recipe) -> None:
    for row in recipe.rows:
        for seed in row.seeds:
            config = recipe.config(row, seed)
            given = ["--data", "d", "--labels", "l", "--out", "o", *config.options()]
            arguments = lgsa_command.parser().parse_args(given)
            settings = overridden(lgsa_command.CONFIGS[arguments.config], arguments)
            changes = {**recipe.lgsa.changes, **row.changes, "seed": seed}
            assert asdict(settings) == {**asdict(recipe.lgsa.base), **changes}


@pytest.mark.parametrize("recipe", RECIPES_TO_TRY, ids=lambda recipe: recipe.name)
def test_the_options_of_cfs_give_its_settings_to_the_training_command(recipe: Recipe) -> None:
    given = ["--data", "d", "--proposals", "p", "--out", "o", *recipe.cfs.options()]
    arguments = cfs_command.parser().parse_args(given)
    settings = overridden(cfs_command.CONFIGS[arguments.config], arguments)
    assert asdict(settings) == {**asdict(recipe.cfs.base), **recipe.cfs.changes}


def test_where_a_run_may_be_placed_is_what_the_training_command_takes() -> None:
    help_text = lgsa_command.parser().format_help()
    assert f"--accelerator {{{','.join(DEVICES)}}}" in help_text
    assert f"--precision {{{','.join(PRECISIONS)}}}" in help_text


def test_the_papers_tables_are_complete() -> None:
    """Tables 2, 3 and 5 as the paper prints them; 76.2 is DeepLab-v2's full supervision, from its table 1."""
    supervision, attention, alpha = (
        [line.paper for line in table.lines] for table in RECIPES["voc12"].tables
    )
    assert supervision == [55.4, 66.6, 70.8, 76.2]
    assert attention == [71.3, 71.5, 71.5, 71.9, 72.4, 72.6]
    without, with_walk = [71.5, 71.7, 71.8, 71.8, 71.7], [71.5, 72.1, 72.4, 72.3, 72.2]
    assert alpha == [figure for pair in zip(without, with_walk, strict=True) for figure in pair]


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_rows_beside_one_figure_of_the_paper_have_the_same_figure_in_all_tables(recipe: Recipe) -> None:
    """One network has one result, whichever table shows it; table 2 has no attention and stands apart."""
    figures: dict[str, set[float | None]] = {}
    for table in recipe.tables[1:]:
        for line in table.lines:
            figures.setdefault(line.row, set()).add(line.paper)
    assert all(len(papers) == 1 for papers in figures.values())
    assert set(figures) <= {row.name for row in recipe.rows}


@pytest.mark.parametrize("name", ["lgsa-2", "cfs"])
def test_the_row_beside_the_papers_best_figure_is_its_method(name: str) -> None:
    recipe = next(recipe for recipe in RECIPES.values() if any(row.name == name for row in recipe.rows))
    shown = {line.row for table in recipe.tables for line in table.lines if line.paper == 72.4}
    assert shown == {name}
    settings = json.loads(recipe.config(recipe.row(name), 0).facts())
    chosen = {field: settings[field] for field in ("attention", "modules", "alpha", "walk")}
    assert chosen == {"attention": "lgsa", "modules": 2, "alpha": 10_000.0, "walk": True}


def test_the_figures_that_decide_have_two_seeds() -> None:
    recipe = RECIPES["voc_animals"]
    for name in ("grabcut", "cfs", "cfs-nonlocal"):
        assert len(recipe.row(name).seeds) >= 2


def test_a_changed_config_changes_the_facts_and_not_the_options() -> None:
    later = replace(LGSA, base=replace(LGSA.base, lr=0.5))
    assert later.options() == LGSA.options()
    assert later.facts() != LGSA.facts()


def test_options_spell_numbers_and_switches_as_the_command_line_does() -> None:
    config = Config("voc12", LGSA.base, {"alpha": 10_000.0, "lr": 2.5e-4, "walk": False, "multi_scale": True})
    switches = ("--no-walk", "--multi-scale")
    assert config.options() == ("--config", "voc12", "--alpha", "10000", "--lr", "0.00025", *switches)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"name": "CFS walk"}, "a row's name"),
        ({"name": "../cfs"}, "a row's name"),
        ({"labels": "scribbles"}, "expected labels to be one of"),
        ({"seeds": ()}, "seeds of cfs"),
        ({"seeds": (1, 1)}, "seeds of cfs"),
    ],
)
def test_a_row_that_breaks_a_rule_is_refused(row: dict[str, object], problem: str) -> None:
    fields: dict[str, object] = {"name": "cfs", "labels": "cfs", **row}
    with pytest.raises(TrainingError, match=problem):
        Row(**fields)  # type: ignore[arg-type]  # some are wrong on purpose


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ((), "rows"),
        ((Row(name="a", labels="cfs"), Row(name="a", labels="box")), "of different names"),
        ((Row(name="a", labels="cfs"), Row(name="b", labels="cfs")), "different in labels or settings"),
        ((Row(name="a", labels="cfs", changes={"walk": True}), Row(name="b", labels="cfs")), "different in"),
        ((Row(name="a", labels="cfs", changes={"alpha": -1.0}),), "expected alpha to be at least 0"),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows: tuple[Row, ...], problem: str) -> None:
    with pytest.raises(TrainingError, match=problem):
        Recipe(name="x", cfs=CFS, lgsa=LGSA, rows=rows, tables=())


def test_a_table_of_a_row_that_is_not_there_is_refused() -> None:
    table = Table("T", "", (Line("a line", "missing"),))
    with pytest.raises(TrainingError, match=r"a row of table 'T' to be one of cfs, truth, but got 'missing'"):
        replace(RECIPE, tables=(table,))


def test_an_unknown_row_is_answered_with_those_that_are_there() -> None:
    with pytest.raises(TrainingError, match="shapes has no row 'box'; its rows are cfs, truth"):
        RECIPE.row("box")
