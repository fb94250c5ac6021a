"""The whole chain on discs and squares, with the real commands and the smallest networks."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from boxmask_core.cli import main
from boxmask_core.errors import TrainingError
from boxmask_training.reproduce.reproduce import commands, reproduce
from tests.training.reproduce.tiny import RECIPE, ROWS, write_place

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_training.reproduce.place import Place

STEPS = (
    "proposals", "cfs/train", "cfs/export", "labels/cfs",
    *(f"rows/cfs/seed-0/{name}" for name in ("train", "export", "segment", "evaluate", "segment-crf",
                                            "evaluate-crf")),
    *(f"rows/truth/seed-0/{name}" for name in ("train", "export", "segment", "evaluate")),
)  # fmt: skip


def _names(printed: str) -> list[str]:
    return [
        line.removeprefix("# ")
        for line in printed.splitlines()
        if line.startswith("# ") and " " not in line[2:]
    ]


def _done(printed: str) -> list[str]:
    return [line[2:].removesuffix(", done") for line in printed.splitlines() if line.endswith(", done")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place where the row that needs the longest chain is done."""
    place = write_place(tmp_path_factory.mktemp("chain"))
    assert reproduce(RECIPE, place, ["cfs"], jobs=2) == place.out / "table.md"
    return place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return write_place(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
class TestTheWholeChain:
    def test_ends_with_a_table_of_what_was_measured(self, finished: Place) -> None:
        rows = {row["name"]: row for row in json.loads((finished.out / "table.json").read_bytes())["rows"]}
        folder = finished.out / "rows" / "cfs" / "seed-0"
        plain, crf = (json.loads((folder / f"scores{name}.json").read_bytes()) for name in ("", "-crf"))
        assert rows["cfs"]["runs"] == [{"seed": 0, "scores": plain, "scores_crf": crf}]
        assert plain["images"] == crf["images"] == 2
        assert plain["iou"].keys() == {"background", "disc", "square"}
        assert plain["boundary"]["mean_iou"] is not None
        figures = " | ".join(f"{100 * scores['mean_iou']:.2f}" for scores in (plain, crf))
        table = (finished.out / "table.md").read_text()
        assert f"| CFS | {figures} | pending | 70.8 |" in table
        assert "| true labels | pending | - | pending | 76.2 |" in table

    def test_leaves_every_product_where_the_next_command_finds_it(self, finished: Place) -> None:
        out = finished.out
        assert len(list((out / "labels" / "cfs" / "SegmentationClass").iterdir())) == 8
        assert (out / "cfs" / "bundle" / "bundle.json").is_file()
        assert {path.stem for path in (out / "rows" / "cfs" / "seed-0" / "val-crf").glob("*.png")} == {
            "shape08", "shape09"
        }  # fmt: skip

    def test_does_nothing_a_second_time(self, finished: Place) -> None:
        before = {path: path.stat().st_mtime_ns for path in finished.out.glob("steps/**/*")}
        reproduce(RECIPE, finished, ["cfs"])
        assert {path: path.stat().st_mtime_ns for path in finished.out.glob("steps/**/*")} == before

    def test_says_what_a_changed_row_redoes(self, finished: Place) -> None:
        printed = commands(RECIPE, finished)
        assert _done(printed) == list(STEPS[:10])
        assert _names(printed) == list(STEPS[10:])
        changed = replace(RECIPE, rows=(replace(ROWS[0], changes={"walk": False}), ROWS[1]))
        printed = commands(changed, finished, ["cfs"])
        assert _done(printed) == list(STEPS[:4])
        assert _names(printed) == list(STEPS[4:10])
        assert "--no-walk" in printed


class TestTheCommands:
    def test_are_printed_for_a_shell_and_nothing_is_written(self, place: Place) -> None:
        printed = commands(RECIPE, place)
        assert _names(printed) == list(STEPS)
        lines = [shlex.split(line) for line in printed.splitlines() if not line.startswith("#")]
        assert all(line[0] == "boxmask" for line in lines)
        assert [line[1] for line in lines[:4]] == ["convert", "train", "export", "convert"]
        assert not place.out.exists()

    def test_of_true_labels_name_the_data_itself(self, place: Place) -> None:
        (train, *_) = (shlex.split(line) for line in commands(RECIPE, place, ["truth"]).splitlines()[1:])
        assert train[train.index("--labels") + 1] == str(place.data)

    def test_are_those_that_the_chosen_rows_need(self, place: Place) -> None:
        assert _names(commands(RECIPE, place, ["truth"])) == list(STEPS[10:])
        with pytest.raises(TrainingError, match="shapes has no row 'box'"):
            commands(RECIPE, place, ["truth", "box"])


class TestTheCommandLine:
    def test_prints_the_commands_of_a_published_recipe(
        self, place: Place, capsys: pytest.CaptureFixture[str]
    ) -> None:
        options = ["--data", str(place.data), "--out", str(place.out), "--device", "cpu", "--jobs", "2"]
        assert main(["reproduce", "voc12", *options, "--rows", "deeplab-box", "--dry-run"]) == 0
        printed = capsys.readouterr().out
        assert _names(printed)[:2] == ["labels/box", "rows/deeplab-box/seed-0/train"]
        assert "--config voc12 --attention none --seed 0 --accelerator cpu" in printed
        assert not place.out.exists()

    @pytest.mark.parametrize(
        ("more", "status", "problem"),
        [
            (["--rows", "mine"], 1, "voc_animals has no row 'mine'; its rows are cfs"),
            (
                ["--data", "nowhere"],
                2,
                "nowhere: expected the layout of VOC 2012, but there is no JPEGImages",
            ),
        ],
    )
    def test_says_in_one_line_what_is_wrong(
        self, more: list[str], status: int, problem: str, place: Place, capsys: pytest.CaptureFixture[str]
    ) -> None:
        options = ["--data", str(place.data), "--out", str(place.out), *more]
        assert main(["reproduce", "voc_animals", *options]) == status
        assert problem in capsys.readouterr().err

    @pytest.mark.parametrize("more", [["--jobs", "0"], ["--device", "abacus"], ["--precision", "8-bit"]])
    def test_refuses_an_option_outside_its_choices(self, more: list[str], place: Place) -> None:
        with pytest.raises(SystemExit, match="2"):
            main(["reproduce", "voc12", "--data", str(place.data), "--out", str(place.out), *more])
