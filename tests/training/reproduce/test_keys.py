"""What redoes what: the keys of a plan's steps before and after a change."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from boxmask_core.errors import BundleError, DatasetError
from boxmask_training.configs import cfs_starter
from boxmask_training.reproduce.place import Place
from boxmask_training.reproduce.plan import plan
from boxmask_training.reproduce.recipe import Config, Row
from boxmask_training.reproduce.step import content_digest, keys_of
from tests.bundles import write_tiny_bundle
from tests.training.reproduce.tiny import CFS, LGSA, RECIPE, ROWS, write_place

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from boxmask_training.reproduce.recipe import Recipe

CFS_ROW = {
    f"rows/cfs/seed-0/{step}"
    for step in ("train", "export", "segment", "evaluate", "segment-crf", "evaluate-crf")
}
TRUTH_ROW = {f"rows/truth/seed-0/{step}" for step in ("train", "export", "segment", "evaluate")}
CHAIN = {"proposals", "cfs/train", "cfs/export", "labels/cfs"}
SCORES = {name for name in CFS_ROW | TRUTH_ROW if "evaluate" in name}
SEGMENTATIONS = {name for name in CFS_ROW | TRUTH_ROW if "segment" in name}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return write_place(tmp_path)


def _changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def _keys(recipe: Recipe, place: Place) -> dict[str, str]:
    return keys_of(plan(recipe, place))


def test_the_plan_has_every_step_once_and_each_after_what_it_reads(place: Place) -> None:
    names = [step.name for step in plan(RECIPE, place)]
    assert len(names) == len(set(names))
    assert set(names) == CHAIN | CFS_ROW | TRUTH_ROW
    for step in plan(RECIPE, place):
        assert all(names.index(before) < names.index(step.name) for before in step.after)


def test_another_place_device_and_number_of_threads_change_nothing(place: Place, tmp_path: Path) -> None:
    data = shutil.copytree(place.data, tmp_path / "elsewhere" / "VOC2012")
    moved = Place(data=data, out=tmp_path / "other", device="cuda", precision="bf16-mixed", threads=7)
    assert _keys(RECIPE, moved) == _keys(RECIPE, place)


@pytest.mark.parametrize(
    ("recipe", "redone"),
    [
        (replace(RECIPE, rows=(replace(ROWS[0], changes={"alpha": 1.0}), ROWS[1])), CFS_ROW),
        (replace(RECIPE, rows=(ROWS[0], replace(ROWS[1], changes={"modules": 1}))), TRUTH_ROW),
        (replace(RECIPE, lgsa=LGSA.changed({"lr": 0.1})), CFS_ROW | TRUTH_ROW),
        (replace(RECIPE, cfs=CFS.changed({"lr": 0.1})), CHAIN - {"proposals"} | CFS_ROW),
        (replace(RECIPE, classes=("background", "disc")), SCORES),
        (replace(RECIPE, rows=(replace(ROWS[0], crf=False), ROWS[1])), {n for n in CFS_ROW if "crf" in n}),
    ],
    ids=["alpha", "modules", "lgsa", "cfs", "classes", "crf"],
)  # fmt: skip
def test_a_changed_recipe_redoes_what_depends_on_the_change(
    recipe: Recipe, redone: set[str], place: Place
) -> None:
    assert _changed(_keys(RECIPE, place), _keys(recipe, place)) == redone


def test_a_config_that_stands_for_other_settings_redoes_its_training(place: Place) -> None:
    later = Config("starter", replace(cfs_starter.SETTINGS, class_dropout=0.9), CFS.changes)
    redone = _changed(_keys(RECIPE, place), _keys(replace(RECIPE, cfs=later), place))
    assert redone == CHAIN - {"proposals"} | CFS_ROW


def _touch_image(data: Path) -> None:
    with (data / "JPEGImages" / "shape00.jpg").open("ab") as file:
        file.write(b"more")


def _drop_a_training_image(data: Path) -> None:
    file = data / "ImageSets" / "Segmentation" / "trainaug.txt"
    file.write_text(file.read_text().replace("shape01\n", ""))


def _touch_boxes(data: Path) -> None:
    with (data / "Annotations" / "shape02.xml").open("a") as file:
        file.write("<!-- more -->")


def _touch_truth_of_training(data: Path) -> None:
    shutil.copy(data / "SegmentationClass" / "shape01.png", data / "SegmentationClass" / "shape00.png")


def _touch_truth_of_val(data: Path) -> None:
    shutil.copy(data / "SegmentationClass" / "shape01.png", data / "SegmentationClass" / "shape08.png")


def _touch_image_of_val(data: Path) -> None:
    shutil.copy(data / "JPEGImages" / "shape01.jpg", data / "JPEGImages" / "shape08.jpg")


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        (_touch_image, CHAIN | CFS_ROW | TRUTH_ROW),
        (_drop_a_training_image, CHAIN | CFS_ROW | TRUTH_ROW),
        (_touch_boxes, CHAIN | CFS_ROW | TRUTH_ROW),
        (_touch_truth_of_training, TRUTH_ROW),
        (_touch_truth_of_val, SCORES),
        (_touch_image_of_val, SCORES | SEGMENTATIONS),
    ],
)
def test_changed_data_redoes_what_reads_it(
    change: Callable[[Path], None], redone: set[str], place: Place
) -> None:
    before = _keys(RECIPE, place)
    change(place.data)
    assert _changed(before, _keys(RECIPE, place)) == redone


def test_a_bundle_that_is_there_takes_the_place_of_training_cfs(place: Place, tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle", ["cfs"])
    given = replace(place, cfs_bundle=bundle)
    keys = _keys(RECIPE, given)
    assert keys.keys() == {"labels/cfs"} | CFS_ROW | TRUTH_ROW
    words = next(step.words for step in plan(RECIPE, given) if step.name == "labels/cfs")
    assert bundle in words
    (bundle / "README.md").write_text("says nothing to a network")
    assert _keys(RECIPE, given) == keys


def test_a_bundle_without_cfs_is_refused(place: Place, tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle", ["lgsa"])
    with pytest.raises(BundleError, match="cfs"):
        plan(RECIPE, replace(place, cfs_bundle=bundle))


def test_held_out_images_judge_cfs_and_name_the_calibrated_checkpoint(place: Place, tmp_path: Path) -> None:
    held_out = tmp_path / "held_out.txt"
    held_out.write_text("shape00\n")
    recipe = replace(RECIPE, held_out=held_out, classes=("background", "disc", "square"))
    steps = {step.name: step for step in plan(recipe, place)}
    command = " ".join(steps["cfs/train"].command())
    assert f"--hold-out {held_out} --truth {place.truth} --judge-classes disc,square" in command
    assert steps["cfs/export"].words[1] == place.out / "cfs" / "run" / "calibrated.ckpt"
    before = _keys(recipe, place)
    held_out.write_text("shape01\n")
    assert _changed(before, _keys(recipe, place)) == CHAIN - {"proposals"} | CFS_ROW


def test_rows_with_several_seeds_train_once_per_seed(place: Place) -> None:
    rows = (Row(name="box", labels="box", seeds=(0, 3)),)
    names = keys_of(plan(replace(RECIPE, rows=rows, tables=()), place)).keys()
    assert {name for name in names if "train" in name} == {
        "cfs/train", "rows/box/seed-0/train", "rows/box/seed-3/train"
    }  # fmt: skip


@pytest.mark.parametrize("missing", ["Annotations", "SegmentationClass", "ImageSets/Segmentation/val.txt"])
def test_data_in_another_layout_is_refused(missing: str, place: Place) -> None:
    (place.data / missing).rename(place.data / "away")
    with pytest.raises(DatasetError, match=f"layout of VOC 2012, but there is no {missing}"):
        plan(RECIPE, place)


def test_content_is_names_and_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    assert content_digest(folder) is None
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a").write_text("1")
    first = content_digest(folder)
    (folder / "sub" / "a").rename(folder / "sub" / "b")
    renamed = content_digest(folder)
    (folder / "sub" / "b").write_text("2")
    assert len({first, renamed, content_digest(folder), content_digest(folder / "sub" / "b")}) == 4
