from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError
from boxmask_core.formats import open_dataset
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.labelstudio import LabelStudioDataset
from boxmask_core.instances import BoxIssue, Flags, ImageRecord, Instance

if TYPE_CHECKING:
    from pathlib import Path


def result(
    identity: str, *labels: str, kind: str = "rectanglelabels", rotation: object = 0, **more: object
) -> dict[str, object]:
    value = {"x": 10, "y": 25, "width": 50, "height": 12.5, "rotation": rotation, kind: list(labels)}
    size = {"original_width": 200, "original_height": 80, "image_rotation": 0}
    return {
        "id": identity,
        "type": kind,
        "from_name": "label",
        "to_name": "image",
        "value": value,
        **size,
        **more,
    }


BOX = Box(20, 20, 120, 30)


def task(image: str, *results: object, **more: object) -> dict[str, object]:
    annotations = [{"id": 1, "result": list(results), "was_cancelled": False}]
    return {"id": 3, "data": {"image": image}, "annotations": annotations, **more}


def save(folder: Path, *tasks: object) -> Path:
    file = folder / "export.json"
    file.write_text(json.dumps(tasks), encoding="utf-8")
    return file


def test_boxes_in_percent_become_pixels(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "кот.jpg").touch()
    choice = {"id": "r2", "type": "choices", "value": {"choices": ["Occluded", "red"]}}
    labels = {"id": "r2", "type": "labels", "value": {"labels": ["dog"]}}
    rectangle = result("r2", kind="rectangle")
    brush = {"id": "r3", "type": "brushlabels", "value": {"rle": [0, 0], "brushlabels": ["cat"]}}
    save(
        tmp_path,
        task(
            "/data/upload/1/0a1b2c3d-%D0%BA%D0%BE%D1%82.jpg",
            result("r1", "cat"),
            rectangle,
            labels,
            choice,
            brush,
        ),
    )
    dataset = open_dataset(tmp_path)
    assert isinstance(dataset, LabelStudioDataset)
    assert dataset.class_names == ("cat", "dog")
    assert dataset.notes == ("1 regions are no boxes and are left out: brushlabels",)
    assert len(dataset) == 1
    assert list(dataset) == [
        ImageRecord(
            "images/кот",
            tmp_path / "images" / "кот.jpg",
            (Instance(BOX, "cat", Flags(), "r1"), Instance(BOX, "dog", Flags(occluded=True), "r2")),
            declared_size=(200, 80),
        )
    ]


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (result("r", "cat", rotation=30), "rotated by 30 degrees"),
        (result("r", "cat", rotation=math.nan), "rotated by nan degrees"),
        (result("r", "cat", image_rotation=90), "the image: the box is rotated by 90 degrees"),
        (result("r", "cat", original_width=None), "has no original_width and original_height"),
        (result("r", "cat") | {"value": {"width": 1, "rectanglelabels": ["cat"]}}, "expected numbers x, y"),
        (result("r", "cat", "dog"), "has the labels ['cat', 'dog'], and a box has one class; keep one"),
    ],
)
def test_a_broken_or_rotated_box_is_reported_and_the_rest_is_read(
    tmp_path: Path, broken: dict[str, object], problem: str
) -> None:
    save(tmp_path, task("a.jpg", broken, result("fine", "dog", rotation=360)))
    (record,) = LabelStudioDataset(tmp_path)
    assert isinstance(record, ImageRecord)
    (issue,) = record.issues
    assert (issue.id, issue.class_name) == ("r", "cat")
    assert problem in issue.problem
    assert record.instances == (Instance(BOX, "dog", Flags(), "fine"),)


def test_a_box_without_a_label_and_one_outside_numbers_are_reported(tmp_path: Path) -> None:
    bare = result("r")
    endless = result("s", "cat")
    endless["value"] = {"x": math.nan, "y": 0, "width": 1, "height": 1, "rectanglelabels": ["cat"]}
    save(tmp_path, task("a.jpg", bare, endless))
    (record,) = LabelStudioDataset(tmp_path)
    assert isinstance(record, ImageRecord)
    assert record.issues[0] == BoxIssue("r", "", "the object has no class name")
    assert "must be a finite number" in record.issues[1].problem


def test_the_ground_truth_is_read_and_cancelled_annotations_are_not(tmp_path: Path) -> None:
    several = task("a.jpg")
    several["annotations"] = [
        {"id": 1, "result": [result("one", "cat")]},
        {"id": 2, "result": [result("two", "cat")], "ground_truth": True},
    ]
    cancelled = task("b.jpg", predictions=[{"result": [result("p", "cat")]}])
    cancelled["annotations"] = [{"id": 1, "result": [result("no", "cat")], "was_cancelled": True}]
    save(tmp_path, several, cancelled, task("c.jpg") | {"annotations": []}, task("d.jpg"))
    dataset = LabelStudioDataset(tmp_path / "export.json")
    assert dataset.notes == (
        "2 tasks have no annotation and are left out",
        "1 tasks have several annotations; the ground truth is read, else the first",
    )
    records = [entry for entry in dataset if isinstance(entry, ImageRecord)]
    assert [(record.key, [entry.id for entry in record.instances]) for record in records] == [
        ("a", ["two"]),
        ("d", []),
    ]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("https://host/some/a.jpg?token=1", "some/a"),
        ("s3://bucket/deep/a.png", "deep/a"),
        ("/data/local-files/?d=set/b.jpg", "set/b"),
        ("C:\\photos\\a.jpg", "photos/a"),
    ],
)
def test_the_image_is_named_by_the_path_of_its_address(tmp_path: Path, named: str, expected: str) -> None:
    save(tmp_path, task(named))
    (record,) = LabelStudioDataset(tmp_path)
    assert isinstance(record, ImageRecord)
    assert record.key == expected


def test_broken_tasks_are_errors_of_those_tasks(tmp_path: Path) -> None:
    minimal = {"image": "a.jpg", "label": []}
    tasks: list[Any] = [
        minimal,
        7,
        task("/data/../../a.jpg"),
        {"id": 5, "data": {"text": "x"}, "annotations": [{}]},
    ]
    save(tmp_path, *tasks, task("x/a.jpg"), task("x/a.png"))
    entries = [entry for entry in LabelStudioDataset(tmp_path) if isinstance(entry, RecordError)]
    assert [entry.problem for entry in entries] == [
        'a task has no data; export as "JSON", not "JSON-MIN"',
        'a task has no data; export as "JSON", not "JSON-MIN"',
        "an image must lie inside the image folder, but got 'data/../../a.jpg'",
        "the data of a task name no image, but got {'text': 'x'}",
        "two images share the key 'x/a': a.jpg and a.png; rename one",
    ]


@pytest.mark.parametrize(
    "broken",
    [
        task("a.jpg") | {"annotations": True},
        task("a.jpg", result("r") | {"type": []}),
        task("a.jpg", result("r", "cat", original_width=10**400)),
        task("n" * 400 + ".jpg", result("r", "cat")),
        task("a.jpg", "bogus", {"value": 7}),
    ],
)
def test_values_of_the_wrong_type_or_size_break_nothing_else(tmp_path: Path, broken: object) -> None:
    save(tmp_path, broken, task("fine.jpg", result("r", "dog")))
    *_, record = LabelStudioDataset(tmp_path)
    assert isinstance(record, ImageRecord)
    assert record.instances == (Instance(BOX, "dog", Flags(), "r"),)


def test_what_is_no_export_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="must hold one JSON file of Label Studio's, but got 0"):
        LabelStudioDataset(tmp_path)
    file = tmp_path / "export.json"
    file.write_text("{}")
    with pytest.raises(DatasetError, match="must hold a list of tasks, but got dict"):
        LabelStudioDataset(file)
    with pytest.raises(DatasetError, match="has no splits, but got --split 'train'"):
        LabelStudioDataset(file, split="train")
