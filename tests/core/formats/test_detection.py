from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from boxmask_core.errors import DatasetError
from boxmask_core.formats import detect_format, open_dataset
from boxmask_core.formats.keys import checked_key, key_of

if TYPE_CHECKING:
    from pathlib import Path


CONTENTS = {
    "": "{}",
    "labelme": '{"version": "5.5.0", "shapes": []}',
    "labelstudio": " [{}]",
    "cvat": '<?xml version="1.0"?><annotations></annotations>',
    "openimages": "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n",
}


def make(root: Path, *files: str) -> None:
    """Makes files, ``NAME`` or ``NAME=CONTENT``."""
    for entry in files:
        file, _, content = entry.partition("=")
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(CONTENTS[content])


@pytest.mark.parametrize(
    ("files", "opened", "expected"),
    [
        (["Annotations/a.xml"], ".", "voc"),
        (["VOCdevkit/VOC2012/Annotations/a.xml"], ".", "voc"),
        (["annotations/instances_val.json"], ".", "coco"),
        (["boxes.json"], "boxes.json", "coco"),
        (["data.yaml"], ".", "yolo"),
        (["set.yml"], "set.yml", "yolo"),
        (["a.json=labelme"], ".", "labelme"),
        (["a.json=labelme"], "a.json", "labelme"),
        (["sub/a.json=labelme"], ".", "labelme"),
        (["annotations/a.json=labelme"], ".", "labelme"),
        (["annotations.xml=cvat"], ".", "cvat"),
        (["task.xml=cvat"], "task.xml", "cvat"),
        (["export.json=labelstudio"], ".", "labelstudio"),
        (["export.json=labelstudio", "other.json"], "export.json", "labelstudio"),
        (["label_2/0.txt"], ".", "kitti"),
        (["training/label_2/0.txt"], ".", "kitti"),
        (["train-annotations-bbox.csv=openimages", "class-descriptions.csv"], ".", "openimages"),
        (["boxes.csv=openimages"], "boxes.csv", "openimages"),
        (["metadata.jsonl"], ".", "imagefolder"),
        (["train/metadata.csv"], ".", "imagefolder"),
        (["test/metadata.parquet"], "test/metadata.parquet", "imagefolder"),
    ],
)
def test_the_files_tell_the_format(tmp_path: Path, files: list[str], opened: str, expected: str) -> None:
    make(tmp_path, *files)
    assert detect_format(tmp_path / opened) == expected


def test_no_format_and_several_formats_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file or folder"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="no dataset of a known format"):
        open_dataset(tmp_path)
    make(tmp_path, "Annotations/a.xml", "data.yaml")
    with pytest.raises(DatasetError, match=r"choose one \(--from\): voc, yolo"):
        open_dataset(tmp_path)
    assert len(open_dataset(tmp_path, format="voc")) == 1
    with pytest.raises(DatasetError, match=r"\['coco', .*'voc', 'yolo'\], but got 'bogus'"):
        open_dataset(tmp_path, format="bogus")


def test_a_key_is_the_file_name_without_its_last_suffix() -> None:
    assert key_of("sub/a.b.jpg", "") == "sub/a.b"
    assert checked_key("sub/a.b", "") == "sub/a.b"


@pytest.mark.parametrize("name", ["", "/a.jpg", "../a.jpg", "sub/../../a.jpg", ".", "a\0.jpg"])
def test_a_key_never_leads_out_of_its_folder(name: str) -> None:
    with pytest.raises(DatasetError, match=r"list\.txt: an image must lie inside the image folder"):
        key_of(name, "list.txt")
