from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError, MissingExtraError
from boxmask_core.formats import open_dataset
from boxmask_core.formats.imagefolder import ImageFolderDataset
from boxmask_core.formats.interface import RecordError
from boxmask_core.instances import BoxIssue, Flags, ImageRecord, Instance

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_core.formats.interface import DetectionDataset

OBJECTS = {
    "bbox": [[1, 2, 3, 4.5], [0, 0, 9, 9]],
    "categories": ["cat", "собака"],
    "id": [70, 71],
    "iscrowd": [0, 1],
}
INSTANCES = (
    Instance(Box(1, 2, 4, 6.5), "cat", Flags(), "70"),
    Instance(Box(0, 0, 9, 9), "собака", Flags(crowd=True), "71"),
)


def save_jsonl(file: Path, *rows: object) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def save_parquet(file: Path, rows: list[dict[str, Any]], metadata: object = None) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.Table.from_pylist(rows)
    if metadata is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps(metadata)})
    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, file)
    return file


def records(dataset: DetectionDataset) -> list[ImageRecord]:
    return [entry for entry in dataset if isinstance(entry, ImageRecord)]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_boxes_are_read_from_every_kind_of_metadata(tmp_path: Path, kind: str) -> None:
    row = {"file_name": "sub/ä.jpg", "objects": OBJECTS}
    if kind == "jsonl":
        save_jsonl(tmp_path / "metadata.jsonl", row | {"width": 9, "height": 8}, {"file_name": "b.png"})
    elif kind == "csv":
        quoted = json.dumps(OBJECTS).replace('"', '""')
        (tmp_path / "metadata.csv").write_text(
            f'file_name,objects\nsub/ä.jpg,"{quoted}"\nb.png,\n', encoding="utf-8"
        )
    else:
        bare: dict[str, Any] = {"file_name": "b.png", "objects": None, "width": None, "height": None}
        save_parquet(tmp_path / "metadata.parquet", [row | {"width": 9, "height": 8}, bare])
    dataset = open_dataset(tmp_path)
    assert isinstance(dataset, ImageFolderDataset)
    assert dataset.class_names == ("cat", "собака")
    assert dataset.image_root == tmp_path
    assert dataset.notes == ("1 images have no field objects, and no boxes",)
    assert len(dataset) == 2
    size = None if kind == "csv" else (9, 8)
    assert list(dataset) == [
        ImageRecord("sub/ä", tmp_path / "sub" / "ä.jpg", INSTANCES, declared_size=size),
        ImageRecord("b", tmp_path / "b.png", ()),
    ]


def test_parquet_of_the_datasets_library_names_its_classes(tmp_path: Path) -> None:
    category = {"feature": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "_type": "List"}
    features = {"objects": {"bbox": {"_type": "List"}, "category": category}}
    objects = {"bbox": [[0, 0, 1, 1], [0, 0, 2, 2]], "category": [1, 2]}
    save_parquet(
        tmp_path / "metadata.parquet",
        [{"file_name": "a.jpg", "objects": objects}],
        {"info": {"features": features}},
    )
    dataset = ImageFolderDataset(tmp_path / "metadata.parquet")
    assert dataset.class_names == ("cat", "dog")
    assert dataset.notes == ()
    (record,) = records(dataset)
    assert record.instances == (Instance(Box(0, 0, 1, 1), "dog", Flags(), "0"),)
    assert record.issues == (BoxIssue("1", "", "category 2 is no name and no index of one"),)


def test_images_inside_a_parquet_file_are_not_loaded_and_asked_to_be_saved_beside_it(tmp_path: Path) -> None:
    rows = [{"image": {"bytes": bytes(1000), "path": "a.jpg"}}] * 3
    save_parquet(tmp_path / "metadata.parquet", rows, {})
    dataset = ImageFolderDataset(tmp_path)
    problems = [entry.problem for entry in dataset if isinstance(entry, RecordError)]
    assert len(dataset) == 3
    assert problems == [
        f"row {number} has no file_name; save images that are inside the file beside it"
        for number in range(3)
    ]


def test_a_list_of_objects_and_classes_without_names_are_read(tmp_path: Path) -> None:
    objects = [{"bbox": [0, 0, 1, 1], "category": 3}, {"bbox": [0, 0, 2, 2], "label": "cat"}]
    save_jsonl(tmp_path / "metadata.jsonl", {"file_name": "a.jpg", "objects": objects})
    dataset = ImageFolderDataset(tmp_path)
    assert dataset.class_names == ("3", "cat")
    assert dataset.notes == ("classes are numbers without names; the number is the name",)
    (record,) = records(dataset)
    assert record.instances == (
        Instance(Box(0, 0, 1, 1), "3", Flags(), "0"),
        Instance(Box(0, 0, 2, 2), "cat", Flags(), "1"),
    )


def test_broken_boxes_are_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    bbox = [[1, 2, 3], [0, 0, float("nan"), 1], [0, 0, -1, 1], None, [0, 0, 1, 1], [0, 0, 1, 1]]
    objects = {"bbox": bbox, "category": ["cat"] * 5 + [None]}
    save_jsonl(tmp_path / "metadata.jsonl", {"file_name": "a.jpg", "objects": objects})
    (record,) = records(ImageFolderDataset(tmp_path))
    assert record.instances == (Instance(Box(0, 0, 1, 1), "cat", Flags(), "4"),)
    problems = [issue.problem for issue in record.issues]
    assert problems[0] == "expected numbers [x, y, width, height], but got [1, 2, 3]"
    assert "finite" in problems[1]
    assert "x0 < x1" in problems[2]
    assert problems[3] == "expected numbers [x, y, width, height], but got None"
    assert problems[4] == "category None is no name and no index of one"


def test_broken_rows_are_errors_of_those_images(tmp_path: Path) -> None:
    uneven = {"bbox": [[0, 0, 1, 1]], "category": []}
    save_jsonl(
        tmp_path / "metadata.jsonl",
        {"image": "a.jpg"},
        {"file_name": "b.jpg", "objects": uneven},
        {"file_name": "../c.jpg"},
        {"file_name": "d.jpg"},
        {"file_name": "d.png"},
    )
    errors = [entry for entry in ImageFolderDataset(tmp_path) if isinstance(entry, RecordError)]
    assert [(entry.key, entry.problem.split(",")[0].split(";")[0]) for entry in errors] == [
        ("row 0", "row 0 has no file_name"),
        ("b.jpg", "objects must be lists of equal length"),
        ("../c.jpg", "an image must lie inside the image folder"),
        ("d", "two images share the key 'd': d.jpg and d.png"),
    ]


def test_a_split_is_a_sub_folder(tmp_path: Path) -> None:
    save_jsonl(tmp_path / "train" / "metadata.jsonl", {"file_name": "a.jpg", "objects": OBJECTS})
    save_jsonl(tmp_path / "test" / "metadata.jsonl", {"file_name": "a.jpg"})
    dataset = ImageFolderDataset(tmp_path)
    assert [record.key for record in records(dataset)] == ["test/a", "train/a"]
    (record,) = records(ImageFolderDataset(tmp_path, split="train"))
    assert record == ImageRecord("a", tmp_path / "train" / "a.jpg", INSTANCES)
    with pytest.raises(DatasetError, match="val: there is no imagefolder dataset here: expected"):
        ImageFolderDataset(tmp_path, split="val")
    with pytest.raises(DatasetError, match="is a single file and has no split 'train'"):
        ImageFolderDataset(tmp_path / "train" / "metadata.jsonl", split="train")


@pytest.mark.parametrize(
    ("name", "text"), [("metadata.jsonl", "{"), ("metadata.jsonl", "[]"), ("metadata.csv", "objects\n{\n")]
)
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError, match=rf"{name}: (cannot be read as|line 1 must hold a JSON object)"):
        ImageFolderDataset(tmp_path)


def test_what_is_no_parquet_is_refused_by_name(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "metadata.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DatasetError, match=r"metadata\.parquet: cannot be read as Parquet"):
        ImageFolderDataset(tmp_path)


def test_without_pyarrow_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "metadata.parquet").touch()
    with pytest.raises(MissingExtraError, match=r"pip install 'boxmask\[parquet\]'"):
        ImageFolderDataset(tmp_path)
