"""What a reader holds does not grow with its dataset, but for the bytes of the images' names."""

from __future__ import annotations

import gc
import json
import sys
from typing import TYPE_CHECKING

import pytest

from boxmask_core.formats import READERS
from boxmask_core.instances import ImageRecord

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FEW, MANY = 50, 850
OBJECTS_PER_IMAGE = 0.4
"""A list of names would have one, a list of paths five, a list of records thirty."""


def name(index: int) -> str:
    return f"image_{index:06}"


def voc(root: Path, count: int) -> None:
    (root / "Annotations").mkdir(parents=True)
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    text = f"<annotation>{f'<object><name>cat</name>{box}</object>' * 3}</annotation>"
    for index in range(count):
        (root / "Annotations" / f"{name(index)}.xml").write_text(text)


def coco(root: Path, count: int) -> None:
    box = {"category_id": 1, "bbox": [1, 2, 3, 4], "segmentation": [list(range(60))]}
    images = [{"id": index, "file_name": f"{name(index)}.jpg"} for index in range(count)]
    annotations = [{"image_id": index, **box} for _ in range(3) for index in reversed(range(count))]
    content = {"annotations": annotations, "images": images, "categories": [{"id": 1, "name": "cat"}]}
    (root / "annotations").mkdir(parents=True)
    (root / "annotations" / "instances_a.json").write_text(json.dumps(content))


def yolo(root: Path, count: int) -> None:
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    (root / "data.yaml").write_text("train: images\nnames: [cat]\n")
    for index in range(count):
        (root / "images" / f"{name(index)}.jpg").touch()  # no image: an error each, read all the same
        (root / "labels" / f"{name(index)}.txt").write_text("0 .5 .5 .1 .1\n")


def labelme(root: Path, count: int) -> None:
    root.mkdir()
    shape = {"shape_type": "rectangle", "label": "cat", "points": [[1, 2], [3, 4]]}
    for index in range(count):
        content = {"shapes": [shape] * 3, "imagePath": f"{name(index)}.jpg"}
        (root / f"{name(index)}.json").write_text(json.dumps(content))


def cvat(root: Path, count: int) -> None:
    root.mkdir()
    box = '<box label="cat" xtl="1" ytl="2" xbr="3" ybr="4"/>' * 3
    images = (f'<image id="{index}" name="{name(index)}.jpg">{box}</image>' for index in range(count))
    (root / "annotations.xml").write_text(f"<annotations>{''.join(images)}</annotations>")


def labelstudio(root: Path, count: int) -> None:
    root.mkdir()
    value = {"x": 1, "y": 2, "width": 3, "height": 4, "rectanglelabels": ["cat"]}
    region = {"type": "rectanglelabels", "original_width": 90, "original_height": 90, "value": value}
    tasks = [
        {"data": {"image": f"{name(index)}.jpg"}, "annotations": [{"result": [region] * 3}]}
        for index in range(count)
    ]
    (root / "export.json").write_text(json.dumps(tasks))


def kitti(root: Path, count: int) -> None:
    (root / "label_2").mkdir(parents=True)
    for index in range(count):
        (root / "label_2" / f"{name(index)}.txt").write_text("Car 0 0 0 1 2 3 4 0 0 0 0 0 0 0\n" * 3)


def openimages(root: Path, count: int) -> None:
    root.mkdir()
    rows = [f"{name(index)},/m/01,0.1,0.2,0.1,0.2" for _ in range(3) for index in range(count)]
    (root / "boxes.csv").write_text("\n".join(["ImageID,LabelName,XMin,XMax,YMin,YMax", *rows]))


def imagefolder(root: Path, count: int) -> None:
    root.mkdir()
    objects = {"bbox": [[1, 2, 3, 4]] * 3, "category": ["cat"] * 3}
    rows = [{"file_name": f"{name(index)}.jpg", "objects": objects} for index in range(count)]
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))


MAKERS: dict[str, Callable[[Path, int], None]] = {
    maker.__name__: maker
    for maker in (voc, coco, yolo, labelme, cvat, labelstudio, kitti, openimages, imagefolder)
}


def test_every_reader_is_measured() -> None:
    assert MAKERS.keys() == READERS.keys()


@pytest.mark.parametrize("format_name", MAKERS)
def test_the_number_of_objects_does_not_grow_with_that_of_images(tmp_path: Path, format_name: str) -> None:
    held: list[tuple[int, int]] = []
    for count in (FEW, FEW, MANY):  # the first time warms up what is made once
        root = tmp_path / f"{count}-{len(held)}"
        MAKERS[format_name](root, count)
        gc.collect()
        before = sys.getallocatedblocks()
        dataset = READERS[format_name](root)
        gc.collect()
        opened = sys.getallocatedblocks() - before
        reading = 0
        for number, _ in enumerate(dataset, start=1):
            if number == count:
                gc.collect()
                reading = sys.getallocatedblocks() - before
        assert number == len(dataset) == count
        held.append((opened, reading))
    for few, many in zip(held[1], held[2], strict=True):
        assert (many - few) / (MANY - FEW) < OBJECTS_PER_IMAGE


def test_what_is_measured_are_records(tmp_path: Path) -> None:
    for format_name, maker in MAKERS.items():
        maker(tmp_path / format_name, 1)
        (record,) = READERS[format_name](tmp_path / format_name)
        if isinstance(record, ImageRecord):
            assert len(record.instances) == 3, format_name
        else:
            assert format_name in {"yolo", "openimages"}  # they need the images, which are none here
