from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError
from boxmask_core.formats import open_dataset
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.openimages import OpenImagesDataset
from boxmask_core.instances import BoxIssue, Flags, ImageRecord, Instance

if TYPE_CHECKING:
    from pathlib import Path

HEADER = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,"
    "IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
)


def row(image: str, label: str = "/m/01yrx", box: str = "0.1,0.5,0.25,0.75", flags: str = "0,0,0,0,0") -> str:
    return f"{image},xclick,{label},1,{box},{flags}"


def save(file: Path, *rows: str, header: str = HEADER, end: str = "\n") -> Path:
    file.write_text("".join(f"{line}{end}" for line in (header, *rows)), encoding="utf-8", newline="")
    return file


def picture(path: Path, width: int = 100, height: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (width, height)).save(path)


BOX = Box(10, 10, 50, 30)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_of_an_image_are_found_wherever_they_stand(tmp_path: Path, end: str) -> None:
    save(
        tmp_path / "train-annotations-bbox.csv",
        row("b"),
        row("a", flags="1,1,0,0,0"),
        row("a", "/m/0zzz"),
        row("b", flags="-1,-1,1,0,0"),
        end=end,
    )
    (tmp_path / "class-descriptions-boxable.csv").write_text("/m/01yrx,Cat\n/m/0bt9lr,Dog\n")
    picture(tmp_path / "train" / "a.jpg")
    picture(tmp_path / "train" / "b.png", 50, 40)
    dataset = open_dataset(tmp_path)
    assert isinstance(dataset, OpenImagesDataset)
    assert dataset.class_names == ("/m/0zzz", "Cat")
    assert dataset.image_root == tmp_path / "train"
    assert dataset.notes == (
        "warning: 1 labels are not in class-descriptions*.csv and keep their codes: /m/0zzz",
    )
    assert len(dataset) == 2
    half = Box(5, 10, 25, 30)
    assert list(dataset) == [
        ImageRecord(
            "b",
            tmp_path / "train" / "b.png",
            (Instance(half, "Cat", Flags(), "0"), Instance(half, "Cat", Flags(crowd=True), "1")),
        ),
        ImageRecord(
            "a",
            tmp_path / "train" / "a.jpg",
            (
                Instance(BOX, "Cat", Flags(occluded=True, truncated=True), "0"),
                Instance(BOX, "/m/0zzz", Flags(), "1"),
            ),
        ),
    ]


def test_broken_rows_are_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    short = "a,xclick,/m/01yrx,1,0.1"
    rows = (row("a", box="0.1,nan,0,1"), row("a", box="0.5,0.1,0,1"), short, row("a", ""), row("a"))
    save(tmp_path / "boxes.csv", *rows)
    picture(tmp_path / "a.jpg")
    (record,) = OpenImagesDataset(tmp_path)
    assert isinstance(record, ImageRecord)
    assert record.instances == (Instance(BOX, "/m/01yrx", Flags(), "4"),)
    problems = ["finite number", "x0 < x1", "expected numbers XMin, YMin, XMax, YMax", "no class name"]
    assert [problem in issue.problem for issue, problem in zip(record.issues, problems, strict=True)] == [
        True
    ] * 4
    assert record.issues[3] == BoxIssue("3", "", "the object has no class name")


def test_an_image_that_is_missing_or_leads_away_is_an_error(tmp_path: Path) -> None:
    save(tmp_path / "boxes.csv", row("gone"), row("../b"))
    first, second = OpenImagesDataset(tmp_path)
    assert isinstance(first, RecordError)
    assert isinstance(second, RecordError)
    assert (first.key, second.key) == ("gone", "../b")
    assert first.problem.endswith("the image file is missing, and boxes are relative to its size")
    assert "must lie inside the image folder" in second.problem


def test_the_name_of_the_file_tells_the_split(tmp_path: Path) -> None:
    save(tmp_path / "oidv6-train-annotations-bbox.csv", row("a"))
    save(tmp_path / "validation-annotations-bbox.csv")
    picture(tmp_path / "images" / "train" / "a.jpg")
    with pytest.raises(DatasetError, match="holds several CSV files of boxes, choose a split"):
        OpenImagesDataset(tmp_path)
    dataset = OpenImagesDataset(tmp_path, split="train")
    assert (len(dataset), dataset.image_root) == (1, tmp_path / "images" / "train")
    assert len(OpenImagesDataset(tmp_path, split="validation")) == 0
    with pytest.raises(DatasetError, match="there is no CSV file of boxes of the split 'test' here"):
        OpenImagesDataset(tmp_path, split="test")


def test_a_file_without_the_columns_is_refused_by_name(tmp_path: Path) -> None:
    file = save(tmp_path / "boxes.csv", header="ImageID,LabelName,XMin,XMax")
    with pytest.raises(DatasetError, match=r"boxes\.csv: lacks the columns YMin, YMax"):
        OpenImagesDataset(file)
