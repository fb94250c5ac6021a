from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError
from boxmask_core.formats import open_dataset
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.labelme import LabelmeDataset
from boxmask_core.instances import BoxIssue, Flags, ImageRecord, Instance

if TYPE_CHECKING:
    from pathlib import Path


def rectangle(label: str, *points: list[object], **more: object) -> dict[str, object]:
    return {"label": label, "points": list(points), "shape_type": "rectangle", "group_id": None, **more}


def save(file: Path, *shapes: object, image: str | None = "a.jpg", **more: object) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    content: dict[str, object] = {
        "version": "5.5.0",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": image,
        "imageData": None,
    }
    file.write_text(json.dumps(content | more), encoding="utf-8")
    return file


def place(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_rectangles_are_read_with_their_corners_in_any_order(tmp_path: Path) -> None:
    save(
        tmp_path / "a.json",
        rectangle("cat", [10, 20.5], [3, 4], flags={"truncated": True, "odd": True}),
        rectangle("собака", [-2, 30], [8, 22], group_id=4, difficult=True),
        imageWidth=40,
        imageHeight=30,
    )
    place(tmp_path / "a.jpg")
    dataset = LabelmeDataset(tmp_path)
    assert dataset.class_names == ("cat", "собака")
    assert dataset.image_root == tmp_path
    assert dataset.notes == ("1 rectangles have a group_id; each is read as an object of its own",)
    assert len(dataset) == 1
    assert list(dataset) == [
        ImageRecord(
            "a",
            tmp_path / "a.jpg",
            (
                Instance(Box(3, 4, 10, 20.5), "cat", Flags(truncated=True), "0"),
                Instance(Box(-2, 22, 8, 30), "собака", Flags(difficult=True), "1"),
            ),
            declared_size=(40, 30),
        )
    ]


def test_shapes_that_are_no_rectangles_are_left_out_and_told(tmp_path: Path) -> None:
    shapes: list[dict[str, object]] = [
        {"label": "x", "points": [[0, 0]], "shape_type": kind}
        for kind in ("point", "polygon", "mask", "point")
    ]
    save(
        tmp_path / "a.json", *shapes, {"label": "x", "points": []}, "bogus", rectangle("cat", [0, 0], [1, 1])
    )
    dataset = LabelmeDataset(tmp_path)
    assert dataset.class_names == ("cat",)
    assert dataset.notes == (
        "shapes that are no rectangles are left out: 1 broken, 1 mask, 2 point, 2 polygon",
    )
    (record,) = dataset
    assert isinstance(record, ImageRecord)
    assert record.instances == (Instance(Box(0, 0, 1, 1), "cat", Flags(), "6"),)
    assert record.declared_size is None


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        (rectangle("cat", [0, 0]), "expected a rectangle of two points"),
        (rectangle("cat", [0, 0], [1, "x"]), "expected a rectangle of two points"),
        (rectangle("cat", [0, 0], [1, None]), "expected a rectangle of two points"),
        (rectangle("cat", [0, 0], [0, 9]), "x0 < x1"),
        (rectangle("cat", [0, 0], [math.nan, 9]), "finite"),
        (rectangle("cat", [0, 0], [4, 1], [3, 5], [-1, 4]), "four points form no upright box"),
        (rectangle("cat", [0, 0], [4, 0], [4, 5], [0, 5]) | {"shape_type": "rotation"}, "must be upright"),
    ],
)
def test_a_broken_or_rotated_box_is_reported_and_the_rest_is_read(
    tmp_path: Path, shape: dict[str, object], problem: str
) -> None:
    upright = rectangle("dog", [4, 5], [4, 1], [0, 1], [0, 5])
    save(tmp_path / "a.json", shape, upright)
    (record,) = LabelmeDataset(tmp_path)
    assert isinstance(record, ImageRecord)
    (issue,) = record.issues
    assert (issue.id, issue.class_name) == ("0", "cat")
    assert problem in issue.problem
    assert record.instances == (Instance(Box(0, 1, 4, 5), "dog", Flags(), "1"),)


def test_a_rectangle_without_a_label_is_reported(tmp_path: Path) -> None:
    shape = rectangle("", [0, 0], [1, 1])
    save(tmp_path / "a.json", shape, shape | {"label": None})
    (record,) = LabelmeDataset(tmp_path)
    assert isinstance(record, ImageRecord)
    assert record.issues == tuple(BoxIssue(index, "", "the object has no class name") for index in "01")


def test_images_are_found_beside_the_files_and_in_other_folders(tmp_path: Path) -> None:
    root = tmp_path / "set"
    save(root / "json" / "a.json", image="..\\images\\ä.png")
    save(root / "json" / "b.json", image="/home/someone/b.jpeg")
    save(root / "json" / "c.json", image=None)
    save(root / "json" / "d.json", image="../../../../secret.jpg")
    place(
        root / "images" / "ä.png", root / "json" / "b.jpeg", root / "json" / "c.bmp", tmp_path / "secret.jpg"
    )
    dataset = LabelmeDataset(root / "json")
    assert dataset.image_root == root
    assert [(entry.key, entry.path) for entry in dataset if isinstance(entry, ImageRecord)] == [
        ("images/ä", root / "images" / "ä.png"),
        ("json/b", root / "json" / "b.jpeg"),
        ("json/c", root / "json" / "c.bmp"),
        ("json/secret", root / "json" / "secret.jpg"),
    ]


def test_two_files_of_one_image_and_a_broken_file_are_errors_of_those_images(tmp_path: Path) -> None:
    save(tmp_path / "a.json", image="a.jpg")
    save(tmp_path / "b.json", image="a.png")
    (tmp_path / "c.json").write_text('{"shapes": 7}')
    (tmp_path / "d.json").write_text('{"shapes": [')
    entries = list(LabelmeDataset(tmp_path))
    assert [type(entry) for entry in entries] == [ImageRecord, RecordError, RecordError, RecordError]
    problems = [entry.problem for entry in entries if isinstance(entry, RecordError)]
    assert problems[:2] == [
        "two images share the key 'a': a.jpg and a.png; rename one",
        "must hold a JSON object with a list shapes",
    ]
    assert problems[2].startswith("cannot be read as JSON")


def test_a_split_is_a_sub_folder(tmp_path: Path) -> None:
    save(tmp_path / "train" / "a.json", rectangle("cat", [0, 0], [1, 1]))
    save(tmp_path / "val" / "a.json")
    assert len(LabelmeDataset(tmp_path)) == 2
    assert len(open_dataset(tmp_path, split="train")) == 1
    with pytest.raises(DatasetError, match=r"no split 'test'; expected one of .* \['train', 'val'\]"):
        LabelmeDataset(tmp_path, split="test")
    with pytest.raises(DatasetError, match="is a single file and has no split 'train'"):
        LabelmeDataset(tmp_path / "val" / "a.json", split="train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="there is no LabelMe file here"):
        LabelmeDataset(tmp_path / "empty")
