from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from boxmask_core.cli import main
from boxmask_training import checkpoint
from boxmask_training.cfs_command import parser
from boxmask_training.cfs_settings import CfsSettings
from boxmask_training.options import setting_types
from tests.training.shapes import CLASS_NAMES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.training.shapes import Shapes

TINY = [
    "--config", "starter", "--weights", "none", "--size", "32", "--epochs", "1", "--batch-size", "4",
    "--accelerator", "cpu", "--workers", "0", "--min-side", "20", "--no-augment", "--no-freeze-norm",
]  # fmt: skip


def _command(shapes: Shapes, out: Path, *more: str) -> list[str]:
    data = ["--data", str(shapes.voc), "--proposals", str(shapes.proposals), "--out", str(out)]
    return ["train", "cfs", *data, *TINY, *more]


@pytest.fixture(autouse=True)
def everything_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.fixture
def hold_out(tmp_path: Path) -> Path:
    file = tmp_path / "hold_out.txt"
    file.write_text("shape00\nshape01\nshape03\n")
    return file


def test_trains_and_prints_the_checkpoint_to_export(
    shapes: Shapes, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert main(_command(shapes, tmp_path / "run")) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'run' / 'last.ckpt'}\n"
    assert "training on 16 boxes; left out: none" in caplog.text
    trained = checkpoint.load_cfs(tmp_path / "run" / "last.ckpt")
    assert (trained.class_names, trained.input_size, trained.training_data) == (CLASS_NAMES, 32, "voc")
    assert trained.settings["augment"] is False
    assert trained.settings["optimizer"] == "adamw"  # the config's, as nothing overrides it


def test_the_same_command_again_resumes_and_another_one_is_refused(
    shapes: Shapes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(_command(shapes, out)) == 0
    assert main(_command(shapes, out)) == 0
    assert main(_command(shapes, out, "--lr", "0.5")) == 1
    assert "holds a run with other settings" in capsys.readouterr().err


def test_held_out_images_judge_and_do_not_train(
    shapes: Shapes, tmp_path: Path, hold_out: Path,
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    more = ["--hold-out", str(hold_out), "--truth", str(shapes.truth), "--judge-classes", "square"]
    more += ["--training-data", "my shapes", "--no-calibrate"]
    assert main(_command(shapes, tmp_path / "run", *more)) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'run' / 'best.ckpt'}\n"
    assert "training on 13 boxes; left out: 3 held_out_image" in caplog.text
    assert "held-out mIoU" in caplog.text
    assert checkpoint.load_cfs(tmp_path / "run" / "best.ckpt").training_data == "my shapes"


def test_a_class_can_be_left_out_and_keeps_its_place_in_the_class_vector(
    shapes: Shapes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert main(_command(shapes, tmp_path / "run", "--without-class", "disc")) == 0
    assert "training on 8 boxes; left out: 8 held_out_class" in caplog.text
    assert checkpoint.load_cfs(tmp_path / "run" / "last.ckpt").class_names == CLASS_NAMES


def test_missing_proposals_are_answered_with_the_command_that_makes_them(
    shapes: Shapes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*_command(shapes, tmp_path / "run"), "--proposals", str(tmp_path / "none")]) == 1
    assert (
        f"boxmask convert {shapes.voc} --method grabcut --to coco {tmp_path / 'none'}"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("more", "status", "problem"),
    [
        (["--hold-out", "HOLD_OUT"], 1, "--hold-out and --truth go together"),
        (["--hold-out", "missing.txt", "--truth", "TRUTH"], 2, "missing.txt: there is no such file"),
        (
            ["--hold-out", "HOLD_OUT", "--truth", "elsewhere"],
            2,
            "the label map shape00.png of a held-out image is missing",
        ),
        (
            ["--hold-out", "HOLD_OUT", "--truth", "TRUTH", "--judge-classes", "cube"],
            1,
            "does not have: ['cube']",
        ),
        (["--size", "33"], 1, "expected size to be a positive multiple of 32, but got 33"),
        (["--backbone", "vgg"], 1, "one of resnet50, resnet101, efficientnet_lite0, but got 'vgg'"),
        (["--weights", "nowhere.pth"], 1, "nowhere.pth does not exist"),
        (["--without-class", "disc", "--without-class", "square"], 1, "no box is left to train on"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    more: list[str],
    status: int,
    problem: str,
    shapes: Shapes,
    tmp_path: Path,
    hold_out: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"HOLD_OUT": str(hold_out), "TRUTH": str(shapes.truth)}
    assert main(_command(shapes, tmp_path / "run", *(places.get(word, word) for word in more))) == status
    error = capsys.readouterr().err
    assert problem in error
    assert error.startswith("boxmask: ")
    assert "Traceback" not in error


def test_a_held_out_image_that_the_dataset_lacks_is_named(
    shapes: Shapes, tmp_path: Path, hold_out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hold_out.write_text("shape00 shape99")
    more = ["--hold-out", str(hold_out), "--truth", str(shapes.truth)]
    assert main(_command(shapes, tmp_path / "run", *more)) == 2
    assert "1 images are not in the dataset, first: shape99" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more", [["--precision", "8-bit"], ["--accelerator", "abacus"], ["--config", "mine"]]
)
def test_an_option_outside_its_choices_is_a_usage_error(
    more: list[str], shapes: Shapes, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(_command(shapes, tmp_path / "run", *more))


def test_every_setting_is_an_option() -> None:
    offered = parser().format_help()
    assert all("--" + name.replace("_", "-") in offered for name in setting_types(CfsSettings))
