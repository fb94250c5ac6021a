"""What can be said of a record before anyone is asked about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from boxmask_client import Question
from boxmask_convert.failures import FailureKind
from boxmask_convert.images.orientation import upright_box
from boxmask_convert.images.questions import Prepared, prepare
from boxmask_convert.settings import Settings
from boxmask_core.boxes import Box
from boxmask_core.formats.interface import RecordError
from boxmask_core.images import decode
from boxmask_core.instances import BoxIssue, ImageRecord, Instance
from tests.clients.scenes import CAT, EAR, cat, jpeg

if TYPE_CHECKING:
    from boxmask_convert.settings import SizeMismatch

SETTINGS = Settings(Path("data"), Path("out"), "voc", method="grabcut")
OUTSIDE = Instance(Box(500, 500, 510, 510), "cat", id="7")


@pytest.fixture
def record(tmp_path: Path) -> ImageRecord:
    path = tmp_path / "cat.jpg"
    path.write_bytes(jpeg(cat()))
    return ImageRecord("cat", path, (CAT, EAR), declared_size=(225, 150))


def _kinds(prepared: Prepared) -> list[tuple[str | None, FailureKind]]:
    return [(failure.box, failure.kind) for failure in prepared.failures]


def test_a_good_record_becomes_a_question(record: ImageRecord) -> None:
    prepared = prepare(record, SETTINGS)
    assert isinstance(prepared.question, Question)
    assert prepared.question.image == record.path.read_bytes()
    assert prepared.question.instances == (CAT, EAR)
    assert prepared.question.method == "grabcut"
    assert prepared.failures == ()
    assert not prepared.turned


def test_a_box_outside_the_image_and_a_bad_box_fail_alone(record: ImageRecord) -> None:
    issue = BoxIssue("3", "dog", "x0 < x1")
    prepared = prepare(replace(record, instances=(OUTSIDE, CAT), issues=(issue,)), SETTINGS)
    assert prepared.question is not None
    assert prepared.question.instances == (CAT,)
    assert _kinds(prepared) == [("3", FailureKind.MALFORMED_BOX), ("7", FailureKind.BOX_OUTSIDE_IMAGE)]
    assert "225 x 150" in prepared.failures[1].message


def test_an_image_all_of_whose_boxes_fail_is_left_out(record: ImageRecord) -> None:
    prepared = prepare(replace(record, instances=(OUTSIDE,)), SETTINGS)
    assert prepared.question is None
    assert _kinds(prepared) == [("7", FailureKind.BOX_OUTSIDE_IMAGE), (None, FailureKind.NO_USABLE_BOX)]


def test_an_image_without_boxes_is_a_question(record: ImageRecord) -> None:
    prepared = prepare(replace(record, instances=()), SETTINGS)
    assert prepared.question is not None
    assert prepared.failures == ()


def test_missing_and_broken_files_and_annotations_fail_by_name(record: ImageRecord, tmp_path: Path) -> None:
    missing = prepare(replace(record, path=tmp_path / "nowhere.jpg"), SETTINGS)
    folder = prepare(replace(record, path=tmp_path), SETTINGS)
    (tmp_path / "text.jpg").write_text("no image")
    broken = prepare(replace(record, path=tmp_path / "text.jpg"), SETTINGS)
    annotation = prepare(RecordError("cat", tmp_path / "cat.xml", "not well-formed"), SETTINGS)
    kinds = [prepared.failures[0].kind for prepared in (missing, folder, broken, annotation)]
    assert kinds == [
        FailureKind.MISSING_IMAGE,
        FailureKind.UNREADABLE_IMAGE,
        FailureKind.CORRUPT_IMAGE,
        FailureKind.BAD_ANNOTATION,
    ]
    assert str(tmp_path / "nowhere.jpg") in missing.failures[0].message


def test_a_record_that_is_its_images_fault_says_so(record: ImageRecord, tmp_path: Path) -> None:
    """Where boxes are relative to the image, its annotation cannot be read without it."""
    gone = RecordError("cat", tmp_path / "gone.jpg", "the image file is missing")
    broken = RecordError("cat", record.path, "cannot be decoded")
    second = RecordError(
        "cat", record.path, "two images share the key 'cat': cat.jpg and cat.png; rename one"
    )
    kinds = [prepare(each, SETTINGS).failures[0].kind for each in (gone, broken, second)]
    assert kinds == [FailureKind.MISSING_IMAGE, FailureKind.CORRUPT_IMAGE, FailureKind.KEY_COLLISION]


@pytest.mark.parametrize("size", [(150, 225), (224, 150), (450, 300)])
def test_a_declared_size_that_is_not_the_images_fails(record: ImageRecord, size: tuple[int, int]) -> None:
    prepared = prepare(replace(record, declared_size=size), SETTINGS)
    assert _kinds(prepared) == [(None, FailureKind.SIZE_MISMATCH)]
    assert f"{size[0]} x {size[1]}" in prepared.failures[0].message
    assert "225 x 150" in prepared.failures[0].message


def test_boxes_of_another_size_are_scaled_where_that_is_asked_for(record: ImageRecord) -> None:
    large = Instance(Box(80, 16, 380, 280), "cat", id="0")
    drawn = replace(record, instances=(large,), declared_size=(450, 300))
    prepared = prepare(drawn, replace(SETTINGS, size_mismatch="scale"))
    assert prepared.question is not None
    assert prepared.question.instances == (CAT,)
    assert (prepared.rescaled, prepared.turned, prepared.failures) == (True, False, ())
    assert isinstance(prepared.record, ImageRecord)
    assert prepared.record.declared_size == (225, 150)


def test_boxes_of_another_size_are_taken_as_they_are_where_that_is_asked_for(record: ImageRecord) -> None:
    drawn = replace(record, instances=(CAT, OUTSIDE), declared_size=(900, 600))
    prepared = prepare(drawn, replace(SETTINGS, size_mismatch="image"))
    assert prepared.question is not None
    assert prepared.question.instances == (CAT,)
    assert _kinds(prepared) == [("7", FailureKind.BOX_OUTSIDE_IMAGE)]
    assert not prepared.rescaled


@pytest.mark.parametrize("choice", ["error", "scale", "image"])
def test_boxes_on_the_stored_pixels_are_turned_whatever_becomes_of_other_sizes(
    tmp_path: Path, choice: SizeMismatch
) -> None:
    path = tmp_path / "turned.jpg"
    path.write_bytes(jpeg(np.zeros((40, 60, 3), dtype=np.uint8), 6))
    record = ImageRecord("turned", path, (Instance(Box(30, 10, 50, 14), "bar"),), declared_size=(60, 40))
    prepared = prepare(record, replace(SETTINGS, size_mismatch=choice))
    assert (prepared.turned, prepared.rescaled) == (True, False)
    assert prepared.question is not None
    assert prepared.question.instances[0].box == upright_box(Box(30, 10, 50, 14), 6, (60, 40))


def test_boxes_on_a_small_copy_of_the_stored_pixels_are_scaled_and_turned(tmp_path: Path) -> None:
    stored = np.zeros((40, 60, 3), dtype=np.uint8)
    stored[10:14, 30:50] = 255
    path = tmp_path / "turned.jpg"
    path.write_bytes(jpeg(stored, 8))
    record = ImageRecord("turned", path, (Instance(Box(15, 5, 25, 7), "bar"),), declared_size=(30, 20))
    prepared = prepare(record, replace(SETTINGS, size_mismatch="scale"))
    assert (prepared.turned, prepared.rescaled) == (True, True)
    assert prepared.question is not None
    window = prepared.question.instances[0].box.window()
    expected = np.zeros((60, 40), dtype=bool)
    expected[window.slices()] = True
    np.testing.assert_array_equal(decode(path.read_bytes())[:, :, 0] > 128, expected)


def test_the_layout_of_the_pixels_is_told(record: ImageRecord) -> None:
    assert (prepare(record, SETTINGS).mode, prepare(record, SETTINGS).several_frames) == ("RGB", False)
    grey = Image.fromarray(cat()).convert("L")
    grey.save(record.path, "TIFF", save_all=True, append_images=[grey])
    assert (prepare(record, SETTINGS).mode, prepare(record, SETTINGS).several_frames) == ("L", True)
    record.path.unlink()
    assert prepare(record, SETTINGS).mode == ""


def test_a_size_that_is_not_declared_is_not_checked(record: ImageRecord) -> None:
    assert prepare(replace(record, declared_size=None), SETTINGS).failures == ()


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_drawn_on_the_stored_pixels_are_turned_with_them(tmp_path: Path, orientation: int) -> None:
    stored = np.zeros((40, 60, 3), dtype=np.uint8)
    stored[10:14, 30:50] = 255
    path = tmp_path / "turned.jpg"
    path.write_bytes(jpeg(stored, orientation))
    record = ImageRecord("turned", path, (Instance(Box(30, 10, 50, 14), "bar"),), declared_size=(60, 40))
    prepared = prepare(record, SETTINGS)
    assert prepared.turned
    assert prepared.question is not None
    window = prepared.question.instances[0].box.window()
    upright = decode(path.read_bytes())[:, :, 0] > 128
    expected = np.zeros(upright.shape, dtype=bool)
    expected[window.slices()] = True
    np.testing.assert_array_equal(upright, expected)


def test_boxes_drawn_on_the_upright_image_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    path.write_bytes(jpeg(np.zeros((40, 60, 3), dtype=np.uint8), 6))
    record = ImageRecord("turned", path, (Instance(Box(3, 4, 20, 50), "bar"),), declared_size=(40, 60))
    prepared = prepare(record, SETTINGS)
    assert not prepared.turned
    assert prepared.question is not None
    assert prepared.question.instances == record.instances


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_turning_agrees_with_pillow(orientation: int) -> None:
    transpositions = {
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    stored = Image.new("L", (7, 5))
    stored.paste(255, (1, 2, 6, 3))
    turned = stored.transpose(transpositions[orientation])
    box = upright_box(Box(1, 2, 6, 3), orientation, (7, 5))
    assert turned.getbbox() == (box.x0, box.y0, box.x1, box.y1)
