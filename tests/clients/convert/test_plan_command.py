"""``boxmask plan``: every problem by its name, the losses, an estimate that holds, and nothing written."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from boxmask_client import UnavailableError
from boxmask_convert.command import main as convert
from boxmask_convert.plan_command import main
from boxmask_convert.survey.trial import TRIAL_IMAGES, TrialImages
from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError
from boxmask_core.instances import ImageRecord
from tests.clients.scenes import CAT, EAR, VocFolder, cat, jpeg, varied_cat

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_core.bundle import Bundle


@pytest.fixture
def data(tmp_path: Path) -> VocFolder:
    return VocFolder(tmp_path / "data", good=3)


def _planned(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    status = main([*map(str, arguments), "--json"])
    return status, json.loads(capsys.readouterr().out)


def _counts(planned: dict[str, Any], severity: str = "error") -> dict[str, int]:
    return {each["name"]: each["count"] for each in planned["problems"] if each["severity"] == severity}


def _encoded(image: Image.Image, format_name: str) -> bytes:
    out = io.BytesIO()
    image.save(out, format_name)
    return out.getvalue()


def test_a_sound_dataset_is_counted_and_nothing_is_written(
    data: VocFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    status, planned = _planned(capsys, data.root, tmp_path / "out", "--to", "coco", "--method", "box")
    assert sorted(tmp_path.rglob("*")) == before
    assert (status, planned["convertible"], planned["problems"]) == (0, True, [])
    dataset = planned["dataset"]
    assert (dataset["images"], dataset["usable_images"], dataset["boxes"]) == (3, 3, 6)
    # The cat's box has 150 x 132 pixels, the ear's 40 x 50.
    assert dataset["classes"] == {
        "cat": {"boxes": 3, "images": 3, "box_sizes": {"small": 0, "medium": 0, "large": 3}},
        "ear": {"boxes": 3, "images": 3, "box_sizes": {"small": 0, "medium": 3, "large": 0}},
    }
    assert (dataset["image_widths"], dataset["image_heights"]) == ([225, 225], [150, 150])
    assert (dataset["modes"], dataset["formats"]) == ({"RGB": 3}, {"JPEG": 3})
    assert dataset["image_bytes"] == sum(file.stat().st_size for file in data.root.rglob("*.jpg"))
    assert any("1-based" in note for note in planned["notes"])
    assert planned["free_bytes"] > 0


def test_every_problem_is_counted_under_its_name_as_the_conversion_meets_it(
    data: VocFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data.annotation("missing", [("cat", CAT.box)])
    data.image("text", b"this is no image")
    data.annotation("text", [("cat", CAT.box)])
    data.image("size", jpeg(varied_cat(11)))
    data.annotation("size", [("cat", CAT.box)], size=(500, 375))
    data.image("xml", jpeg(varied_cat(12)))
    (data.root / "Annotations/xml.xml").write_text("<annotation><object>")
    data.image("boxes", jpeg(varied_cat(13)))
    corners = [
        ("cat", (50.0, 50.0, 20.0, 90.0)),
        ("cat", (float("nan"), 50.0, 120.0, 90.0)),
        ("cat", (900.0, 900.0, 950.0, 950.0)),
        ("", (50.0, 50.0, 120.0, 90.0)),
        ("ear", (51, 11, 90, 60)),
        ("ear", (51, 11, 90, 60)),
        ("ear", (200, 100, 400, 140)),
        ("cat", (1, 1, 225, 150)),
    ]
    data.raw_annotation("boxes", corners, (225, 150))
    data.image("copy", jpeg(varied_cat(0)))
    data.annotation("copy", [("cat", CAT.box)])
    data.image("empty", jpeg(varied_cat(14)))
    data.annotation("empty", [])
    data.image("turned", jpeg(varied_cat(15), orientation=6))
    data.annotation("turned", [("cat", CAT.box)], size=(225, 150))
    (data.root / "JPEGImages/sub").mkdir()
    (data.root / "Annotations/sub").mkdir()
    data.image("sub/good1", jpeg(varied_cat(16)))
    data.annotation("sub/good1", [("cat", CAT.box)])
    status, planned = _planned(capsys, data.root, "--to", "voc", "--method", "box")
    errors = {
        "missing_image": 1,
        "corrupt_image": 1,
        "size_mismatch": 1,
        "bad_annotation": 1,
        "degenerate_box": 1,
        "nan_box": 1,
        "box_outside_image": 1,
        "malformed_box": 1,
    }
    assert status == 1
    assert _counts(planned) == errors
    assert _counts(planned, "warning") == {
        "duplicate_box": 1,
        "clipped_box": 1,
        "box_covers_image": 1,
        "duplicate_image": 1,
        "empty_image": 1,
        "turned_boxes": 1,
        "equal_base_name": 1,
    }
    examples = {each["name"]: each["examples"] for each in planned["problems"]}
    assert examples["duplicate_image"] == ["good0: as copy"]
    assert "declared 500 x 375" in examples["size_mismatch"][0] or "500 x 375" in examples["size_mismatch"][0]
    assert planned["dataset"]["exif_orientations"] == {"6": 1}
    out = tmp_path / "out"
    command = [
        str(data.root),
        str(out),
        "--to",
        "voc",
        "--method",
        "box",
        "--no-report",
        "--progress",
        "none",
    ]
    assert convert(command) == 1
    summary = json.loads((out / "summary.json").read_text())
    assert summary["images_converted"] == planned["dataset"]["usable_images"]
    assert summary["boxes_masked"] == planned["dataset"]["usable_boxes"]
    assert sum(summary["failures"].values()) == sum(errors.values())


def test_five_examples_are_shown_of_many(data: VocFolder, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(7):
        data.annotation(f"gone{i}", [("cat", CAT.box)])
    assert main([str(data.root), "--to", "coco", "--no-trial"]) == 1
    told = capsys.readouterr().out
    assert "error   missing_image: 7 (the image file does not exist)" in told
    assert told.count("gone") == 2 * 5  # each example names its key and its file
    assert "and 2 more" in told
    assert "7 problems: what they name would not be converted" in told


def test_collisions_unlisted_classes_and_missing_images_of_other_formats_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coco = tmp_path / "coco"
    (coco / "annotations").mkdir(parents=True)
    (coco / "images").mkdir()
    for name in ("a.jpg", "a.png"):
        (coco / "images" / name).write_bytes(jpeg(cat()))
    box = {"image_id": 1, "bbox": [5, 5, 50, 50]}
    content = {
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 225, "height": 150},
            {"id": 2, "file_name": "a.png", "width": 225, "height": 150},
        ],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "category_id": 1, **box}, {"id": 2, "category_id": 9, **box}],
    }
    (coco / "annotations/instances.json").write_text(json.dumps(content))
    _, planned = _planned(capsys, coco, "--to", "coco", "--no-trial")
    assert _counts(planned) == {"key_collision": 1, "unlisted_class": 1}
    yolo = tmp_path / "yolo"
    (yolo / "images").mkdir(parents=True)
    (yolo / "labels").mkdir()
    (yolo / "data.yaml").write_text("path: .\ntrain: images\nnames: [cat]\n")
    (yolo / "images/broken.jpg").write_bytes(b"no image")
    (yolo / "images/good.jpg").write_bytes(jpeg(cat()))
    for name in ("broken", "good"):
        (yolo / f"labels/{name}.txt").write_text("0 0.5 0.5 0.5 0.5\n5 0.5 0.5 0.5 0.5\n")
    _, planned = _planned(capsys, yolo, "--to", "coco", "--no-trial")
    assert _counts(planned) == {"corrupt_image": 1, "unlisted_class": 1}


def test_layouts_of_pixels_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = VocFolder(tmp_path / "data")
    pixels = Image.fromarray(cat())
    frames = io.BytesIO()
    pixels.save(frames, "WEBP", save_all=True, append_images=[Image.fromarray(varied_cat(1))])
    contents = {
        "grey": _encoded(pixels.convert("L"), "JPEG"),
        "cmyk": _encoded(pixels.convert("CMYK"), "JPEG"),
        "deep": _encoded(Image.fromarray(np.asarray(pixels.convert("L"), dtype=np.uint16) * 257), "PNG"),
        "film": frames.getvalue(),
    }
    for key, content in contents.items():
        data.image(key, content)
        data.annotation(key, [("cat", CAT.box)])
    _, planned = _planned(capsys, data.root, "--to", "coco", "--no-trial")
    assert planned["dataset"]["modes"] == {"CMYK": 1, "I;16": 1, "L": 1, "RGB": 1}
    assert planned["dataset"]["formats"] == {"JPEG": 2, "PNG": 1, "WEBP": 1}
    assert planned["dataset"]["several_frames"] == 1


@pytest.mark.parametrize(
    ("choice", "name", "severity", "status"),
    [
        ("error", "size_mismatch", "error", 1),
        ("scale", "rescaled_boxes", "warning", 0),
        ("image", "unscaled_boxes", "warning", 0),
    ],
)
def test_a_size_mismatch_is_what_the_user_makes_of_it(
    tmp_path: Path, choice: str, name: str, severity: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    data = VocFolder(tmp_path / "data")
    data.image("a", jpeg(cat()))
    data.annotation("a", [("cat", Box(80, 16, 380, 280))], size=(450, 300))
    arguments = (data.root, "--to", "coco", "--no-trial", "--size-mismatch", choice)
    found, planned = _planned(capsys, *arguments)
    assert found == status
    assert _counts(planned, severity)[name] == 1


def test_a_lossy_format_needs_permission(data: VocFolder, capsys: pytest.CaptureFixture[str]) -> None:
    status, planned = _planned(capsys, data.root, "--to", "yolo", "--no-trial")
    assert (status, planned["needs_allow_lossy"], planned["convertible"]) == (1, True, False)
    assert "parts joined by a bridge" in planned["losses"]["shapes"]
    status, planned = _planned(capsys, data.root, "--to", "yolo", "--no-trial", "--allow-lossy")
    assert (status, planned["needs_allow_lossy"]) == (0, False)
    status, planned = _planned(capsys, data.root, "--to", "voc", "--no-trial")
    assert (status, planned["needs_allow_lossy"], planned["losses"]["shapes"]) == (0, False, [])
    assert len(planned["losses"]["overlaps"]) == 2
    main([str(data.root), "--to", "yolo", "--no-trial"])
    assert "add --allow-lossy" in capsys.readouterr().out


def test_the_trial_foretells_the_size_of_the_result(
    tmp_path: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    data = VocFolder(tmp_path / "data")
    for i in range(24):
        data.image(f"{i:02}", jpeg(varied_cat(i)))
        data.annotation(f"{i:02}", [("cat", CAT.box), ("ear", EAR.box)][: 1 + i % 2])
    arguments = (str(data.root), str(tmp_path / "out"), "--to", "coco", "--bundle", str(bundle.root))
    status, planned = _planned(capsys, *arguments)
    trial = planned["trial"]
    assert (status, trial["images"]) == (0, TRIAL_IMAGES)
    assert "this process" in trial["labeler"]
    assert convert([*arguments, "--no-report", "--progress", "none"]) == 0
    kept = ("instances.json", ".journal/answers.jsonl")
    written = sum((tmp_path / "out" / name).stat().st_size for name in kept)
    estimate = trial["estimated_bytes"]
    assert estimate["low"] <= written <= estimate["high"]
    # Time is the machine's: that it is foretold is shown by use, that it is a sum of its parts here.
    time = trial["estimated_seconds"]
    assert trial["start_seconds"] < time["low"] < time["expected"] < time["high"]


def test_a_server_is_asked_where_there_is_one(
    data: VocFolder, tmp_path: Path, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, planned = _planned(capsys, data.root, "--to", "voc", "--server", server)
    assert (status, planned["trial"]["images"]) == (0, 3)
    assert server in planned["trial"]["labeler"]
    nobody = f"unix:{tmp_path}/nothing"
    with pytest.raises(UnavailableError) as caught:
        main([str(data.root), "--to", "voc", "--server", nobody, "--patience", "0"])
    assert caught.value.exit_status == 3
    assert main([str(data.root), "--to", "voc", "--server", nobody, "--no-trial"]) == 0


def test_pixels_that_do_not_decode_are_found_by_the_trial(
    data: VocFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    data.image("cut", jpeg(varied_cat(8))[:2000])
    data.annotation("cut", [("cat", CAT.box)])
    status, planned = _planned(capsys, data.root, "--to", "voc", "--method", "box")
    assert (status, _counts(planned), planned["trial"]["images"]) == (1, {"corrupt_image": 1}, 3)


def test_bad_input_is_refused(data: VocFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DatasetError) as caught:
        main([str(tmp_path / "nowhere"), "--to", "voc"])
    assert caught.value.exit_status == 2
    with pytest.raises(DatasetError, match="no earlier result"):
        main([str(data.root), "--to", "voc", str(data.root)])
    with pytest.raises(SystemExit):
        main([str(data.root), "out", "--to", "coco", "--void-uncertain"])
    assert "coco holds no void" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main([str(data.root)])
    assert ended.value.code == 2
    assert "usage: boxmask plan" in capsys.readouterr().err


def test_trial_images_are_spread_over_the_dataset(tmp_path: Path) -> None:
    images = TrialImages(1000)
    for i in range(1000):
        images.add(ImageRecord(str(i), tmp_path, ()))
    places = [int(record.key) for record in images.chosen]
    assert len(places) == TRIAL_IMAGES
    assert min(np.diff(places)) >= 124
    assert 0 < places[0] < 125 < 875 < places[-1]
    few = TrialImages(3)
    for i in range(3):
        few.add(ImageRecord(str(i), tmp_path, ()))
    assert [record.key for record in few.chosen] == ["0", "1", "2"]
