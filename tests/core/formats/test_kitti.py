from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError
from boxmask_core.formats import open_dataset
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.kitti import KittiDataset
from boxmask_core.instances import BoxIssue, Flags, ImageRecord, Instance

if TYPE_CHECKING:
    from pathlib import Path

THIRD_DIMENSION = "1.89 0.48 1.20 1.84 1.47 8.41 0.01"
IGNORED = "DontCare -1 -1 -10 503.89 169.71 590.61 190.13 -1 -1 -1 -1000 -1000 -1000 -10"


def line(kind: str, truncated: str, occluded: str, box: str = "712.40 143.00 810.73 307.92") -> str:
    return f"{kind} {truncated} {occluded} -0.20 {box} {THIRD_DIMENSION}"


def save(root: Path, key: str, *lines: str) -> None:
    file = root / "label_2" / f"{key}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{entry}\n" for entry in lines), encoding="utf-8")


BOX = Box(712.4, 143, 810.73, 307.92)


def test_labels_are_read_as_they_are(tmp_path: Path) -> None:
    root = tmp_path / "training"
    save(root, "000001", line("Pedestrian", "0.00", "3"), IGNORED, line("Car", "0.30", "1") + " 0.97", "")
    save(root, "000002")
    (root / "image_2").mkdir()
    (root / "image_2" / "000001.PNG").touch()
    dataset = open_dataset(tmp_path)
    assert isinstance(dataset, KittiDataset)
    assert dataset.class_names == ("Car", "Pedestrian")
    assert dataset.image_root == root / "image_2"
    assert dataset.notes == ("1 regions of type DontCare are left out",)
    assert len(dataset) == 2
    assert list(dataset) == [
        ImageRecord(
            "000001",
            root / "image_2" / "000001.PNG",
            (
                Instance(BOX, "Pedestrian", Flags(), "0"),
                Instance(BOX, "Car", Flags(truncated=True, occluded=True), "2"),
            ),
        ),
        ImageRecord("000002", root / "image_2" / "000002.jpg", ()),
    ]


def test_broken_lines_are_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    lines = [
        "Car 0 0",
        line("Car", "0", "0", "5 1 nan 9"),
        line("Car", "0", "0", "5 1 x 9"),
        line("Car", "x", "y"),
    ]
    save(tmp_path, "a", *lines)
    (record,) = KittiDataset(tmp_path)
    assert isinstance(record, ImageRecord)
    assert record.instances == (Instance(BOX, "Car", Flags(), "3"),)
    assert record.issues == (
        BoxIssue("0", "Car", "expected 15 fields, or 16 with a score, but got 'Car 0 0'"),
        BoxIssue(
            "1", "Car", "invalid box: every coordinate must be a finite number, but got x0=5 y0=1 x1=nan y1=9"
        ),
        BoxIssue("2", "Car", f"expected numbers left, top, right, bottom, but got {lines[2]!r}"),
    )


def test_a_list_of_keys_is_a_split(tmp_path: Path) -> None:
    save(tmp_path / "training", "ä", line("Car", "0", "0"))
    save(tmp_path / "training", "b")
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets" / "val.txt").write_text("ä\nc\n", encoding="utf-8")
    found, missing = KittiDataset(tmp_path, split="val")
    assert isinstance(found, ImageRecord)
    assert found.key == "ä"
    assert missing == RecordError(
        "c", tmp_path / "training" / "label_2" / "c.txt", "the label file is missing"
    )
    with pytest.raises(DatasetError, match=r"there is no ImageSets/train\.txt; expected one of \['val'\]"):
        KittiDataset(tmp_path, split="train")
    with pytest.raises(DatasetError, match="there is no KITTI folder here"):
        KittiDataset(tmp_path / "ImageSets")


def test_a_file_that_is_no_text_is_an_error_of_that_image(tmp_path: Path) -> None:
    save(tmp_path, "a")
    (tmp_path / "label_2" / "a.txt").write_bytes(b"\xff\xfe")
    (entry,) = KittiDataset(tmp_path)
    assert isinstance(entry, RecordError)
    assert "the label file cannot be read" in entry.problem
