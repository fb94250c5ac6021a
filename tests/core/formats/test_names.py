"""Names that tools stumble over: spaces, other alphabets, lengths at the limit of file systems."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

import pytest
from PIL import Image

from boxmask_core.formats import READERS, open_dataset
from boxmask_core.instances import ImageRecord

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = ["a b", "sub dir/ein Bild (2)", "sub dir/v1.5", "x" * 240, "日本/ü & <é>", "日本/🐈"]


def put(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def voc(root: Path) -> str:
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    for name in NAMES:
        text = f"<annotation><object><name>cat</name>{box}</object></annotation>"
        put(root / "Annotations" / f"{name}.xml", text)
    return "JPEGImages"


def coco(root: Path) -> str:
    images = [{"id": index, "file_name": f"{name}.jpg"} for index, name in enumerate(NAMES)]
    boxes = [{"image_id": index, "category_id": 0, "bbox": [1, 2, 3, 4]} for index in range(len(NAMES))]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 0, "name": "cat"}]}
    put(root / "annotations" / "instances_a.json", json.dumps(content, ensure_ascii=False))
    return "images"


def yolo(root: Path) -> str:
    put(root / "data.yaml", "train: images\nnames: [cat]\n")
    for name in NAMES:
        put(root / "labels" / f"{name}.txt", "0 .5 .5 .1 .1\n")
    return "images"


def labelme(root: Path) -> str:
    shape = {"shape_type": "rectangle", "label": "cat", "points": [[1, 2], [3, 4]]}
    for name in NAMES:
        base = name.rpartition("/")[2]
        put(root / f"{name}.json", json.dumps({"shapes": [shape], "imagePath": f"{base}.jpg"}))
    return "."


def cvat(root: Path) -> str:
    box = '<box label="cat" xtl="1" ytl="2" xbr="3" ybr="4"/>'
    images = "".join(f"<image name={quoteattr(f'{name}.jpg')}>{box}</image>" for name in NAMES)
    put(root / "annotations.xml", f"<annotations>{images}</annotations>")
    return "images"


def labelstudio(root: Path) -> str:
    value = {"x": 1, "y": 2, "width": 3, "height": 4, "rectanglelabels": ["cat"]}
    region = {"type": "rectanglelabels", "original_width": 90, "original_height": 90, "value": value}
    tasks = [{"data": {"image": f"{name}.jpg"}, "annotations": [{"result": [region]}]} for name in NAMES]
    put(root / "export.json", json.dumps(tasks))
    return "."


def kitti(root: Path) -> str:
    for name in NAMES:
        put(root / "label_2" / f"{name}.txt", "Car 0 0 0 1 2 3 4 0 0 0 0 0 0 0\n")
    return "image_2"


def openimages(root: Path) -> str:
    rows = "".join(f"{name},/m/01,0.1,0.2,0.1,0.2\n" for name in NAMES)
    put(root / "boxes.csv", f"ImageID,LabelName,XMin,XMax,YMin,YMax\n{rows}")
    return "images"


def imagefolder(root: Path) -> str:
    objects = {"bbox": [[1, 2, 3, 4]], "category": ["cat"]}
    rows = [{"file_name": f"{name}.jpg", "objects": objects} for name in NAMES]
    put(root / "metadata.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    return "."


MAKERS: dict[str, Callable[[Path], str]] = {
    maker.__name__: maker
    for maker in (voc, coco, yolo, labelme, cvat, labelstudio, kitti, openimages, imagefolder)
}


def test_every_reader_is_asked() -> None:
    assert MAKERS.keys() == READERS.keys()


@pytest.mark.parametrize("format_name", MAKERS)
def test_the_key_is_the_relative_path_and_the_image_is_found(tmp_path: Path, format_name: str) -> None:
    images = tmp_path / "my data" / MAKERS[format_name](tmp_path / "my data")
    for name in NAMES:
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (90, 90)).save(images / f"{name}.jpg")
    dataset = open_dataset(tmp_path / "my data")
    found = {entry.key: entry for entry in dataset if isinstance(entry, ImageRecord)}
    assert sorted(found) == sorted(NAMES)
    for name, record in found.items():
        assert record.path == images / f"{name}.jpg"
        assert len(record.instances) == 1


def test_a_name_that_no_file_system_holds_is_missing_and_breaks_nothing(tmp_path: Path) -> None:
    objects = {"bbox": [[1, 2, 3, 4]], "category": ["cat"]}
    rows = [{"file_name": f"{name}.jpg", "objects": objects} for name in ("y" * 5000, "a")]
    put(tmp_path / "metadata.jsonl", "\n".join(map(json.dumps, rows)))
    assert [entry.key for entry in open_dataset(tmp_path)] == ["y" * 5000, "a"]
