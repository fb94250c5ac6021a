from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError
from boxmask_core.formats import open_dataset
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.yolo import YoloDataset
from boxmask_core.instances import ImageRecord

if TYPE_CHECKING:
    from pathlib import Path

BOX = "0 0.5 0.5 0.5 0.5\n"


def add_image(path: Path, label: str | None = BOX, *, size: tuple[int, int] = (40, 20)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)
    if label is not None:
        text = path.parents[1] / "labels" if path.parent.name == "images" else None
        folder = text or path.parents[2] / "labels" / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{path.stem}.txt").write_text(label)
    return path


def configure(root: Path, text: str) -> Path:
    file = root / "data.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def records(dataset: YoloDataset) -> list[ImageRecord]:
    return [entry for entry in dataset if isinstance(entry, ImageRecord)]


def test_boxes_are_scaled_by_the_images_size(tmp_path: Path) -> None:
    add_image(tmp_path / "images" / "train" / "a.png", "1 0.5 0.25 0.5 0.5\n\n0 0.5 0.5 1 1 0.93\n")
    configure(tmp_path, "path: .\ntrain: images/train\nnames: [cat, dog]\n")
    dataset = YoloDataset(tmp_path)
    (record,) = records(dataset)
    assert dataset.class_names == ("cat", "dog")
    assert dataset.image_root == tmp_path / "images" / "train"
    assert (record.key, record.path) == ("a", tmp_path / "images" / "train" / "a.png")
    assert [(entry.class_name, entry.box, entry.id) for entry in record.instances] == [
        ("dog", Box(10, 0, 30, 10), "0"),
        ("cat", Box(0, 0, 40, 20), "1"),
    ]
    assert record.declared_size is None


def test_boxes_belong_to_the_upright_image(tmp_path: Path) -> None:
    path = add_image(tmp_path / "images" / "a.jpg", "0 0.5 0.5 1 0.5\n")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(path, exif=exif)
    configure(tmp_path, "train: images\nnames: [cat]\n")
    assert records(YoloDataset(tmp_path))[0].instances[0].box == Box(0, 10, 20, 30)


def test_names_may_be_a_map_with_gaps(tmp_path: Path) -> None:
    add_image(tmp_path / "images" / "a.png", "5 0.5 0.5 1 1\n1 0.5 0.5 1 1\n3 0.5 0.5 1 1\n")
    configure(tmp_path, "train: images\nnames: {5: no, 1: 7}\n")
    dataset = YoloDataset(tmp_path)
    (record,) = records(dataset)
    assert dataset.class_names == ("7", "no")
    assert [entry.class_name for entry in record.instances] == ["no", "7"]
    assert [issue.problem for issue in record.issues] == ["class 3 is not among the names"]


def test_polygons_give_their_bounds(tmp_path: Path) -> None:
    add_image(tmp_path / "images" / "a.png", "0 0.1 0.2 0.5 0.1 0.3 0.9\n")
    configure(tmp_path, "train: images\nnames: [cat]\n")
    box = records(YoloDataset(tmp_path))[0].instances[0].box
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx((4, 2, 20, 18))


def test_an_empty_label_file_is_a_negative_and_a_missing_one_is_left_out_and_counted(tmp_path: Path) -> None:
    add_image(tmp_path / "images" / "negative.png", "")
    add_image(tmp_path / "images" / "unlabelled.png", None)
    add_image(tmp_path / "images" / "positive.png")
    configure(tmp_path, "train: images\nnames: [cat]\n")
    dataset = YoloDataset(tmp_path)
    assert len(dataset) == 2
    assert [(record.key, len(record.instances)) for record in records(dataset)] == [
        ("negative", 0),
        ("positive", 1),
    ]
    assert dataset.notes == ("1 images have no label file and are left out",)


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("path: data\ntrain: images/train\n", "data/images/train"),
        ("path: /nowhere/at/all\ntrain: images/train\n", "images/train"),
        ("train: ../images/train\n", "images/train"),
        ("train: ./images/train\nval: null\ntest:\n", "images/train"),
        ("train: [images/train]\nval: images/gone\n", "images/train"),
    ],
)
def test_the_image_folder_is_resolved_as_exports_write_it(tmp_path: Path, text: str, root: str) -> None:
    add_image(tmp_path / "set" / root / "a.png")
    configure(tmp_path / "set", f"{text}names: [cat]\n")
    dataset = YoloDataset(tmp_path / "set")
    assert dataset.image_root == tmp_path / "set" / root
    assert [record.key for record in records(dataset)] == ["a"]


def test_a_list_of_images_is_followed(tmp_path: Path) -> None:
    add_image(tmp_path / "images" / "b.png")
    add_image(tmp_path / "images" / "a.png")
    (tmp_path / "train.txt").write_text("./images/b.png\nimages/a.png\n")
    configure(tmp_path, "train: train.txt\nnames: [cat]\n")
    assert [record.key for record in records(YoloDataset(tmp_path))] == ["b", "a"]


def test_labels_may_lie_beside_the_images(tmp_path: Path) -> None:
    path = add_image(tmp_path / "pictures" / "a.png", None)
    path.with_suffix(".txt").write_text(BOX)
    configure(tmp_path, "train: pictures\nnames: [cat]\n")
    assert [record.key for record in records(YoloDataset(tmp_path))] == ["a"]


def test_splits_are_the_keys_of_the_file(tmp_path: Path) -> None:
    add_image(tmp_path / "images" / "train" / "a.png")
    add_image(tmp_path / "images" / "val" / "b.png")
    file = configure(tmp_path, "train: images/train\nval: images/val\nnames: [cat]\n")
    assert [record.key for record in records(YoloDataset(file, split="val"))] == ["b"]
    assert [record.key for record in records(YoloDataset(file))] == ["train/a", "val/b"]
    with pytest.raises(DatasetError, match="no split 'test'"):
        YoloDataset(file, split="test")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("0 0.5 0.5 0 0.5", "x0 < x1"),
        ("0 0.5 nan 0.5 0.5", "finite"),
        ("0 0.5 0.5 0.5", "expected 4 numbers"),
        ("0 0.1 0.2 0.3 0.4 0.5 0.6 0.7", "expected 4 numbers"),
        ("cat 0.5 0.5 0.5 0.5", "expected numbers"),
        ("0.5 0.5 0.5 0.5 0.5", "not among the names"),
        ("inf 0.5 0.5 0.5 0.5", "not among the names"),
    ],
)
def test_a_bad_line_is_an_issue_and_the_others_are_kept(tmp_path: Path, line: str, problem: str) -> None:
    add_image(tmp_path / "images" / "a.png", f"{BOX}{line}\n{BOX}")
    configure(tmp_path, "train: images\nnames: [cat]\n")
    (record,) = records(YoloDataset(tmp_path))
    assert [entry.id for entry in record.instances] == ["0", "2"]
    (issue,) = record.issues
    assert issue.id == "1"
    assert problem in issue.problem


def test_unreadable_images_and_labels_are_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    broken = add_image(tmp_path / "images" / "broken.png")
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    binary = add_image(tmp_path / "images" / "binary.png")
    (tmp_path / "labels" / "binary.txt").write_bytes(b"\xff\xfe\x00")
    gone = add_image(tmp_path / "images" / "gone.png")
    gone.unlink()
    add_image(tmp_path / "images" / "twin.png")
    add_image(tmp_path / "images" / "twin.jpg")
    listed = [broken, binary, gone, tmp_path / "images" / "twin.png", tmp_path / "images" / "twin.jpg"]
    (tmp_path / "all.txt").write_text("\n".join(map(str, listed)))
    configure(tmp_path, "train: all.txt\nnames: [cat]\n")
    found = list(YoloDataset(tmp_path))
    errors = {entry.path.name: entry.problem for entry in found if isinstance(entry, RecordError)}
    assert "cannot be decoded" in errors["broken.png"]
    assert "cannot be read" in errors["binary.txt"]
    assert "the image file is missing" in errors["gone.png"]
    assert "share the key 'twin'" in errors["twin.jpg"]
    assert [entry.key for entry in found if isinstance(entry, ImageRecord)] == ["twin"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "\0",
        "names: [cat",
        "names: [cat]\n",
        "names: [cat]\ntrain: nowhere\n",
        "names: {a: cat}\ntrain: images\n",
        "train: images\n",
    ],
)
def test_a_configuration_that_breaks_the_format_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(DatasetError, match=r"data\.yaml"):
        YoloDataset(configure(tmp_path, text))


def test_a_folder_is_recognised(tmp_path: Path) -> None:
    add_image(tmp_path / "images" / "a.png")
    configure(tmp_path, "train: images\nnames: [cat]\n")
    assert isinstance(open_dataset(tmp_path), YoloDataset)
    assert isinstance(open_dataset(tmp_path / "data.yaml"), YoloDataset)
