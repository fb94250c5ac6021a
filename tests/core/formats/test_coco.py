from __future__ import annotations

import json
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError
from boxmask_core.formats import open_dataset
from boxmask_core.formats.coco import CocoDataset
from boxmask_core.formats.interface import RecordError
from boxmask_core.instances import Flags, ImageRecord, Instance

if TYPE_CHECKING:
    from pathlib import Path

CATEGORIES = [{"id": 90, "name": "dog"}, {"id": 7, "name": "cat"}]


def image(identity: int, name: str, **more: object) -> dict[str, object]:
    return {"id": identity, "file_name": name, **more}


def annotation(image_id: int, bbox: object = (1, 2, 3, 4), **more: object) -> dict[str, object]:
    return {"image_id": image_id, "category_id": 7, "bbox": bbox, **more}


def save(path: Path, images: list[Any], annotations: list[Any], **more: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES, **more}
    path.write_text(json.dumps(content))
    return path


def place(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def records(dataset: CocoDataset) -> list[ImageRecord]:
    return [entry for entry in dataset if isinstance(entry, ImageRecord)]


def test_a_single_file_is_read_whole(tmp_path: Path) -> None:
    file = save(
        tmp_path / "boxes.json",
        [image(5, "sub/a.jpg", width=640, height=480), image(2, "b.png")],
        [
            annotation(2, [0.5, 1, 2.25, 3], id=11, iscrowd=1, segmentation={"size": [1, 1], "counts": "0"}),
            annotation(5, [1, 2, 3, 4], id=40, category_id=90, attributes={"occluded": True}),
            annotation(5, [0, 0, 9, 9]),
        ],
    )
    dataset = CocoDataset(file)
    assert dataset.class_names == ("dog", "cat")
    assert dataset.image_root == tmp_path
    assert len(dataset) == 2
    assert list(dataset) == [
        ImageRecord(
            "sub/a",
            tmp_path / "sub" / "a.jpg",
            (
                Instance(Box(1, 2, 4, 6), "dog", Flags(occluded=True), "40"),
                Instance(Box(0, 0, 9, 9), "cat", Flags(), "1"),
            ),
            declared_size=(640, 480),
        ),
        ImageRecord(
            "b", tmp_path / "b.png", (Instance(Box(0.5, 1, 2.75, 4), "cat", Flags(crowd=True), "11"),)
        ),
    ]


def test_ids_of_zero_without_order_or_missing_are_read(tmp_path: Path) -> None:
    file = save(
        tmp_path / "a.json",
        [
            image(0, "zero.jpg"),
            {"file_name": "none.jpg"},
            image(2**70, "big.jpg"),
            {"id": "x", "file_name": "x.jpg"},
        ],
        [
            {"image_id": "x", "category_id": 0, "bbox": [1, 2, 3, 4], "id": 0},
            {"image_id": 2**70, "category_id": 999, "bbox": [1, 2, 3, 4], "id": 0},
            {"image_id": 0, "category_id": 0, "bbox": [1, 2, 3, 4], "id": 5},
            {"image_id": 0.0, "category_id": 999, "bbox": [1, 2, 3, 4], "id": 5, "area": None},
            {"image_id": None, "category_id": 0, "bbox": [1, 2, 3, 4]},
        ],
        categories=[{"id": 999, "name": "last"}, {"id": 0, "name": "first"}],
    )
    dataset = CocoDataset(file)
    assert dataset.class_names == ("last", "first")
    assert dataset.notes == ()
    found = {
        record.key: [(one.class_name, one.id) for one in record.instances] for record in records(dataset)
    }
    assert found == {
        "zero": [("first", "5"), ("last", "5")],
        "none": [("first", "0")],
        "big": [("last", "0")],
        "x": [("first", "0")],
    }


def test_the_order_of_the_lists_in_the_file_does_not_matter(tmp_path: Path) -> None:
    images = [image(5, "a.jpg"), image(2, "b.jpg")]
    annotations = [annotation(2, id=1), annotation(5, id=2), annotation(2, id=3)]
    expected = list(CocoDataset(save(tmp_path / "a.json", images, annotations)))
    lists = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    for number, order in enumerate(permutations(lists)):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps({"info": {"images": [1]}, **{name: lists[name] for name in order}}))
        assert list(CocoDataset(file)) == expected


@pytest.mark.parametrize("layout", ["train2017", "images/train2017", "images", "."])
@pytest.mark.parametrize("name", ["instances_train2017.json", "train2017.json"])
def test_images_are_found_in_the_customary_folders(tmp_path: Path, layout: str, name: str) -> None:
    save(tmp_path / "annotations" / name, [image(1, "gone.jpg"), image(2, "a.jpg")], [])
    place(tmp_path / layout / "a.jpg")
    dataset = CocoDataset(tmp_path, split="train2017")
    assert dataset.image_root == tmp_path / layout
    assert [record.path for record in records(dataset)] == [
        tmp_path / layout / "gone.jpg",
        tmp_path / layout / "a.jpg",
    ]


def test_without_a_split_all_instance_files_are_read(tmp_path: Path) -> None:
    for split in ("train", "val"):
        save(tmp_path / "annotations" / f"instances_{split}.json", [image(1, "a.jpg")], [annotation(1)])
        place(tmp_path / split / "a.jpg")
    save(tmp_path / "annotations" / "captions_val.json", [image(1, "a.jpg")], [])
    dataset = CocoDataset(tmp_path)
    assert [record.key for record in records(dataset)] == ["train/a", "val/a"]
    assert dataset.class_names == ("dog", "cat")


def test_an_unknown_split_names_those_there_are(tmp_path: Path) -> None:
    file = save(tmp_path / "annotations" / "instances_val.json", [], [])
    with pytest.raises(DatasetError, match=r"no split 'test'; expected one of \['val'\]"):
        CocoDataset(tmp_path, split="test")
    with pytest.raises(DatasetError, match="is a single file"):
        CocoDataset(file, split="val")


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ({"bbox": [1, 2, 0, 4]}, "x0 < x1"),
        ({"bbox": [1, 2, 3, -4]}, "y0 < y1"),
        ({"bbox": [1, 2, float("nan"), 4]}, "finite"),
        ({"bbox": [1, 2, 3]}, "four numbers"),
        ({"bbox": "1234"}, "four numbers"),
        ({"bbox": [1, 2, None, 4]}, "four numbers"),
        ({"bbox": None}, "four numbers"),
        ({"bbox": [1, 2, 10**400, 4]}, "four numbers"),
        ({"category_id": 1}, "not among the categories"),
        ({"category_id": [7]}, "not among the categories"),
    ],
)
def test_a_bad_box_is_an_issue_and_the_others_are_kept(
    tmp_path: Path, broken: dict[str, object], problem: str
) -> None:
    annotations = [annotation(1, id=3), annotation(1, id=4) | broken, annotation(1, id=5)]
    (record,) = records(CocoDataset(save(tmp_path / "a.json", [image(1, "a.jpg")], annotations)))
    assert [instance.id for instance in record.instances] == ["3", "5"]
    (issue,) = record.issues
    assert issue.id == "4"
    assert problem in issue.problem


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ({"id": 9, "file_name": "../../etc/passwd"}, "inside the image folder"),
        ({"id": 9, "file_name": "/etc/passwd"}, "inside the image folder"),
        ({"id": 9}, "inside the image folder"),
        ({"id": 1, "file_name": "c.jpg"}, "share the id 1: a.jpg and c.jpg"),
        ({"id": 9, "file_name": "a.png"}, "share the key 'a': a.jpg and a.png; rename one"),
        ({"id": 9, "file_name": "a.jpg"}, "share the key 'a': a.jpg is there twice; remove one"),
    ],
)
def test_an_image_that_cannot_be_named_is_reported_and_the_rest_goes_on(
    tmp_path: Path, bad: dict[str, object], problem: str
) -> None:
    file = save(tmp_path / "a.json", [image(1, "a.jpg"), bad, image(2, "b.jpg")], [])
    first, broken, last = CocoDataset(file)
    assert isinstance(first, ImageRecord)
    assert isinstance(last, ImageRecord)
    assert isinstance(broken, RecordError)
    assert problem in broken.problem
    assert broken.path == file


def test_annotations_of_unlisted_images_are_noted(tmp_path: Path) -> None:
    file = save(tmp_path / "a.json", [image(1, "a.jpg")], [annotation(1), annotation(2), annotation(3)])
    (note,) = CocoDataset(file).notes
    assert "2 annotations name an image that is not listed" in note


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        "\0",
        '{"categories": []}',
        '{"images": [1]}',
        '{"images": [{"id": [1]}]}',
        '{"images": [], "annotations": [{}]}',
        '{"images": [], "categories": [{"id": 1}]}',
    ],
)
def test_a_file_that_breaks_the_format_is_refused_by_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(content)
    with pytest.raises(DatasetError, match=r"a\.json"):
        CocoDataset(file)


def test_a_folder_is_recognised(tmp_path: Path) -> None:
    save(tmp_path / "annotations" / "instances_val.json", [image(1, "a.jpg")], [annotation(1)])
    assert isinstance(open_dataset(tmp_path), CocoDataset)
