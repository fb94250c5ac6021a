"""Datasets that other tools write: sound ones pass, and what breaks them is named."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from boxmask_core.checks import CHECKS, checked_format, recognised_checks
from boxmask_core.checks.examination import Examination
from boxmask_core.errors import DatasetError
from boxmask_core.formats import READERS, WRITERS
from boxmask_core.palette import encode_indexed_png

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, HEIGHT = 40, 30


def _image(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def _examined(path: Path) -> tuple[Examination, dict[str, int]]:
    """Checks a dataset as the one format that it looks like; returns that and what is wrong."""
    (name,) = recognised_checks(path)
    examination = Examination()
    CHECKS[name](path, examination)
    examination.finish()
    return examination, {found.rule.name: found.count for found in examination.findings}


def test_every_format_that_is_written_is_checked() -> None:
    assert all(checked_format(target) in CHECKS for target in WRITERS)
    assert checked_format("yolo-largest") == "yolo"
    assert checked_format("coco-panoptic") == "coco-panoptic"
    assert checked_format("kitti") is None
    assert all(name in READERS or name in WRITERS for name in CHECKS)


def test_nothing_is_recognised_where_there_is_nothing(tmp_path: Path) -> None:
    assert recognised_checks(tmp_path) == []
    with pytest.raises(DatasetError):
        recognised_checks(tmp_path / "nowhere")


def test_labelme_with_boxes_polygons_and_groups(tmp_path: Path) -> None:
    _image(tmp_path / "a.jpg")
    ring = [[1, 1], [9, 1], [9, 9]]
    shapes: list[dict[str, Any]] = [
        {"label": "cat", "points": [[5, 5], [20, 20]], "shape_type": "rectangle"},
        {"label": "dog", "points": ring, "shape_type": "polygon", "group_id": 1},
        {"label": "dog", "points": [[11, 1], [19, 1], [19, 9]], "shape_type": "polygon", "group_id": 1},
        {"label": "way", "points": [[1, 1], [2, 2]], "shape_type": "line"},
    ]
    content = {"version": "5.5.0", "imagePath": "a.jpg", "imageWidth": WIDTH, "imageHeight": HEIGHT}
    (tmp_path / "a.json").write_text(json.dumps({**content, "shapes": shapes, "imageData": "x" * 5000}))
    examination, found = _examined(tmp_path)
    assert found == {}
    assert (examination.masks, examination.boxes) == (1, 1)
    shapes += [
        {"label": "dog", "points": ring, "shape_type": "polygon", "group_id": 1},
        {"label": "cat", "points": [[5, 5], [5, 20]], "shape_type": "rectangle"},
        {"label": "cat", "points": [[1, 1], [100, 1], [9, 9]], "shape_type": "polygon"},
        {"label": "cat", "points": "1, 2", "shape_type": "polygon"},
        {"label": "cat", "points": [[1, 1], [2, 2]], "shape_type": "mask", "mask": "AAAA"},
        {"points": ring},
    ]
    content["imagePath"] = "gone.jpg"
    (tmp_path / "b.json").write_text(json.dumps({**content, "shapes": shapes}))
    assert _examined(tmp_path)[1] == {
        "duplicate_mask": 1,
        "degenerate_box": 1,
        "outside_image": 1,
        "missing_field": 2,
        "bad_mask": 1,
        "missing_image": 1,
    }


def _cvat(shapes: str, **image: object) -> str:
    fields = {"id": 0, "name": "a.jpg", "width": WIDTH, "height": HEIGHT} | image
    head = " ".join(f'{name}="{value}"' for name, value in fields.items())
    labels = "<meta><task><labels><label><name>cat</name></label></labels></task></meta>"
    return f"<annotations>{labels}<image {head}>{shapes}</image></annotations>"


def test_cvat_with_boxes_and_polygons(tmp_path: Path) -> None:
    _image(tmp_path / "images/a.jpg")
    box = '<box label="cat" xtl="1" ytl="1" xbr="9.5" ybr="9"/>'
    polygon = '<polygon label="cat" points="1,1;9,1;9,9"/>'
    (tmp_path / "annotations.xml").write_text(_cvat(box + polygon))
    examination, found = _examined(tmp_path)
    assert found == {}
    assert (examination.masks, examination.boxes) == (1, 1)
    bad = (
        box
        + box
        + '<box label="cat" xtl="1" ytl="1" xbr="1" ybr="9"/><box label="cat" xtl="one"/>'
        + '<polygon label="dog" points="1,1;9,1"/><polygon label="cat" points="1;2"/>'
        + '<mask label="cat" rle="0, 4" left="39" top="1" width="2" height="2"/>'
        + '<mask label="cat" rle="4" left="1" top="1" width="2" height="2"/>'
    )
    (tmp_path / "annotations.xml").write_text(_cvat(bad, height=31))
    assert _examined(tmp_path)[1] == {
        "duplicate_box": 1,
        "degenerate_box": 1,
        "malformed_box": 1,
        "unlisted_class": 1,
        "bad_polygon": 2,
        "outside_image": 1,
        "empty_mask": 1,
        "size_mismatch": 1,
    }
    (tmp_path / "annotations.xml").write_text("<annotations><image")
    assert _examined(tmp_path)[1] == {"unreadable_file": 1}


def _result(value: dict[str, Any], kind: str, identity: str) -> dict[str, Any]:
    size = {"original_width": WIDTH, "original_height": HEIGHT}
    return {"id": identity, "type": kind, "value": value | {kind: ["cat"]}, **size}


def test_label_studio_with_rectangles_polygons_and_bitmasks(tmp_path: Path) -> None:
    _image(tmp_path / "a.jpg")
    out = io.BytesIO()
    Image.new("RGBA", (WIDTH, HEIGHT), (0, 0, 0, 255)).save(out, "PNG")
    url = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
    rectangle = {"x": 10, "y": 10, "width": 50, "height": 50, "rotation": 0}
    results = [
        _result(rectangle, "rectanglelabels", "1"),
        _result({"points": [[1, 1], [50, 1], [50, 50]], "closed": True}, "polygonlabels", "2"),
        _result({"imageDataURL": url}, "bitmasklabels", "3"),
    ]
    task = {"id": 7, "data": {"image": "/data/upload/3/a.jpg"}, "annotations": [{"result": results}]}
    (tmp_path / "export.json").write_text(json.dumps([task]))
    examination, found = _examined(tmp_path)
    assert (examination.masks, examination.boxes, examination.classes) == (2, 1, {"cat": 2})
    assert found == {}
    results += [
        _result(rectangle, "rectanglelabels", "4"),
        _result(rectangle | {"x": 120}, "rectanglelabels", "5"),
        _result(rectangle | {"width": None}, "rectanglelabels", "6"),
        _result({"points": [[1, 1]]}, "polygonlabels", "7"),
        _result({"rle": [0, 1, 2]}, "brushlabels", "8"),
        {"id": "9", "type": "rectanglelabels"},
    ]
    (tmp_path / "export.json").write_text(json.dumps([task, task]))
    assert _examined(tmp_path)[1] == {
        "duplicate_id": 1,
        "key_collision": 1,
        **dict.fromkeys(("duplicate_box", "box_outside_image", "malformed_box", "bad_polygon"), 2),
        **dict.fromkeys(("bad_mask", "missing_field"), 2),
    }
    (tmp_path / "export.json").write_text("[1]")
    assert _examined(tmp_path)[1] == {"unreadable_file": 1}


def test_yolo_with_splits_and_boxes(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("train: train/images\nval: valid/images\nnames:\n  0: cat\n")
    for split in ("train", "valid"):
        _image(tmp_path / split / "images/a.jpg")
        (tmp_path / split / "labels").mkdir()
        (tmp_path / split / "labels/a.txt").write_text("0 0.5 0.5 0.2 0.2\n\n0 0.1 0.1 0.9 0.1 0.9 0.9\n")
    (tmp_path / "readme.txt").write_text("no label file")
    examination, found = _examined(tmp_path)
    assert found == {}
    assert (examination.images, examination.masks, examination.boxes) == (2, 2, 2)
    bad = ["0 0.5 0.5 0 0.2", "0 0.5 0.5 nan 0.2", "1 0.5 0.5 0.1 0.1", "0 0.95 0.5 0.2 0.1", "0 1 2 3"]
    (tmp_path / "train/labels/a.txt").write_text("\n".join([*bad, bad[2]]))
    (tmp_path / "train/images/a.jpg").unlink()
    assert _examined(tmp_path)[1] == {
        "degenerate_box": 1,
        "nan_box": 1,
        "unlisted_class": 2,
        "not_normalised": 1,
        "bad_polygon": 1,
        "duplicate_box": 1,
        "missing_image": 1,
    }


def test_vocs_own_layout_has_its_classes_and_void_rims(tmp_path: Path) -> None:
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    classes = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    classes[5:20, 5:20] = 255
    classes[6:19, 6:19] = 8
    objects = np.where(classes == 8, 1, classes).astype(np.uint8)
    for folder, labels in (("SegmentationClass", classes), ("SegmentationObject", objects)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(encode_indexed_png(labels))
    _image(tmp_path / "JPEGImages/a.jpg")
    examination, found = _examined(tmp_path)
    assert found == {}
    assert examination.classes == {"cat": 1}
    classes[0, 0] = 21
    (tmp_path / "SegmentationClass/a.png").write_bytes(encode_indexed_png(classes))
    assert _examined(tmp_path)[1] == {"bad_index": 1, "mixed_object": 1}


def test_colours_of_a_label_map_file_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,0,0::\n"
    )
    (tmp_path / "SegmentationClass").mkdir()
    labels = Image.new("P", (WIDTH, HEIGHT))
    labels.putpalette([0, 0, 0, 250, 0, 0])
    labels.paste(1, (3, 3, 9, 9))
    labels.save(tmp_path / "SegmentationClass/a.png")
    assert _examined(tmp_path)[1] == {}
    labels.putpixel((0, 0), 2)
    labels.putpalette([0, 0, 0, 250, 0, 0, 9, 9, 9])
    labels.save(tmp_path / "SegmentationClass/a.png")
    assert _examined(tmp_path)[1] == {"bad_index": 1}


def test_cityscapes_own_layout(tmp_path: Path) -> None:
    ids = np.full((HEIGHT, WIDTH), 7, dtype=np.uint16)
    ids[3:9, 3:9] = 26000
    ids[3:9, 10:19] = 26001
    ids[20:25, 3:9] = 26
    labels = np.where(ids >= 1000, ids // 1000, ids).astype(np.uint8)
    stem = tmp_path / "gtFine/train/aachen/aachen_000000_000019"
    stem.parent.mkdir(parents=True)
    Image.fromarray(ids).save(f"{stem}_gtFine_instanceIds.png")
    Image.fromarray(labels).save(f"{stem}_gtFine_labelIds.png")
    _image(tmp_path / "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png")
    examination, found = _examined(tmp_path)
    assert found == {}
    assert not examination.counts_masks  # a region of class 26 holds a group
    assert examination.classes == {"26": 2}
    labels[3, 3] = 5
    Image.fromarray(labels).save(f"{stem}_gtFine_labelIds.png")
    assert _examined(tmp_path)[1] == {"mixed_object": 1}


def test_panoptic_of_others_beside_a_folder_of_its_name(tmp_path: Path) -> None:
    drawn = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    drawn[2:6, 2:9] = (1, 2, 3)  # 1 + 2 * 256 + 3 * 65536
    segment = {"id": 197121, "category_id": 5, "area": 28, "bbox": [2, 2, 7, 4], "iscrowd": 0}
    content = {
        "images": [{"id": 9, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}],
        "annotations": [{"image_id": 9, "file_name": "a.png", "segments_info": [segment]}],
        "categories": [{"id": 5, "name": "cat"}],
    }
    (tmp_path / "annotations/panoptic_val").mkdir(parents=True)
    Image.fromarray(drawn).save(tmp_path / "annotations/panoptic_val/a.png")
    file = tmp_path / "annotations/panoptic_val.json"
    file.write_text(json.dumps(content))
    examination, found = _examined(tmp_path)
    assert found == {}
    assert examination.classes == {"cat": 1}
    segment |= {"bbox": [0, 0, 7, 4]}
    content["annotations"] += [{"image_id": 3, "file_name": "b.png", "segments_info": []}, {"image_id": 9}]
    content["images"].append({"id": 10, "file_name": "c.jpg", "width": 1, "height": 1})
    file.write_text(json.dumps(content))
    assert _examined(tmp_path)[1] == {"wrong_bbox": 1, "dangling_reference": 2, "missing_field": 1}
