"""Images that do not lie where the dataset says: ``open_dataset(..., images=FOLDER_OR_URL)``."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from boxmask_core.errors import DatasetError
from boxmask_core.formats import READERS, open_dataset
from boxmask_core.instances import ImageRecord
from boxmask_core.locations import location
from tests.core.formats.stores import upload_to_memory
from tests.core.formats.test_memory import MAKERS

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_core.formats.interface import DetectionDataset

SMALL_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c4944415408d763f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)
FOLDERS = {
    "voc": "JPEGImages",
    "kitti": "image_2",
    "openimages": "images",
    "cvat": "images",
    "coco": "images",
}


def records(dataset: DetectionDataset) -> list[ImageRecord]:
    found = list(dataset)
    assert all(isinstance(entry, ImageRecord) for entry in found)
    return [entry for entry in found if isinstance(entry, ImageRecord)]


@pytest.mark.parametrize("where", ["folder", "url"])
@pytest.mark.parametrize("format_name", sorted(READERS.keys() - {"yolo"}))
def test_keys_and_boxes_stay_and_paths_move(tmp_path: Path, format_name: str, where: str) -> None:
    root = tmp_path / "data"
    MAKERS[format_name](root, 3)
    folder = root / FOLDERS.get(format_name, ".")
    folder.mkdir(exist_ok=True)
    for index in range(3):
        (folder / f"image_{index:06}.jpg").write_bytes(SMALL_PNG)
    before = open_dataset(root)
    expected = [(record.key, record.instances, record.path.name) for record in records(before)]
    assert len(expected) == 3

    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for image in folder.glob("*.jpg"):
        shutil.move(image, moved)
    images = str(moved) if where == "folder" else upload_to_memory(moved, f"moved/{format_name}")
    after = open_dataset(root, images=images)
    assert after.image_root == location(images)
    assert [(record.key, record.instances, record.path.name) for record in records(after)] == expected
    assert [record.path for record in records(after)] == [
        location(images) / record.path.name for record in records(after)
    ]
    assert {record.path.read_bytes() for record in records(after)} == {SMALL_PNG}


def test_another_suffix_is_found_there_too(tmp_path: Path) -> None:
    MAKERS["kitti"](tmp_path / "data", 1)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "image_000000.PNG").touch()
    (record,) = records(open_dataset(tmp_path / "data", images=str(tmp_path / "images")))
    assert record.path == tmp_path / "images" / "image_000000.PNG"


def test_folders_of_splits_are_found_there(tmp_path: Path) -> None:
    for split in ("train", "val"):
        content = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [], "categories": []}
        file = tmp_path / "data" / "annotations" / f"instances_{split}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
        (tmp_path / "images" / split).mkdir(parents=True)
        (tmp_path / "images" / split / "a.jpg").touch()
    dataset = open_dataset(tmp_path / "data", images=str(tmp_path / "images"))
    assert [record.key for record in records(dataset)] == ["train/a", "val/a"]
    (record,) = records(open_dataset(tmp_path / "data", split="val", images=str(tmp_path / "images")))
    assert (record.key, record.path) == ("a", tmp_path / "images" / "val" / "a.jpg")


def test_yolo_refuses_for_its_labels_are_found_by_its_images(tmp_path: Path) -> None:
    MAKERS["yolo"](tmp_path / "data", 1)
    with pytest.raises(DatasetError, match=r"labels are found by the places of its images.*let data\.yaml"):
        open_dataset(tmp_path / "data", images=str(tmp_path))
