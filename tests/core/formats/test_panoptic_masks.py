from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from boxmask_core.boxes import Box
from boxmask_core.formats.panoptic_masks import PanopticWriter
from boxmask_core.instances import Flags
from tests.core.formats.scenes import NAMES, RING, cat_and_dog, masked

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_core.instances import MaskedImage
    from tests.core.conftest import MakeMask


def write(folder: Path, *images: MaskedImage) -> Any:
    with PanopticWriter(folder, NAMES) as writer:
        for image in images:
            writer.write(image)
    return json.loads((folder / "panoptic.json").read_text())


def check_the_rules(folder: Path, content: Any) -> None:
    """Checks what the reference evaluation (panopticapi, ``pq_compute``) takes for granted or raises on.

    Each pixel's colour is R + 256 G + 65536 B; every id of the PNG is listed, every listed id is in the PNG
    and once in the list, its category exists, and its area and bounds are those of its pixels.
    """
    categories = {entry["id"] for entry in content["categories"]}
    images = {entry["id"]: entry for entry in content["images"]}
    assert [entry["image_id"] for entry in content["annotations"]] == list(images)
    for annotation in content["annotations"]:
        with Image.open(folder / "panoptic" / annotation["file_name"]) as picture:
            assert picture.mode == "RGB"
            image = images[annotation["image_id"]]
            assert picture.size == (image["width"], image["height"])
            colours = np.asarray(picture).astype(np.int64)
        ids = colours[:, :, 0] + 256 * colours[:, :, 1] + 65536 * colours[:, :, 2]
        segments = annotation["segments_info"]
        assert [segment["id"] for segment in segments] == [entry for entry in np.unique(ids) if entry != 0]
        for segment in segments:
            assert segment["category_id"] in categories
            rows, columns = np.nonzero(ids == segment["id"])
            assert segment["area"] == rows.size
            x, y = columns.min(), rows.min()
            assert segment["bbox"] == [x, y, columns.max() - x + 1, rows.max() - y + 1]


def test_each_pixel_belongs_to_one_segment(tmp_path: Path, make_mask: MakeMask) -> None:
    content = write(tmp_path, cat_and_dog(make_mask))
    assert content == {
        "info": {"description": "masks made from boxes by boxmask"},
        "licenses": [],
        "categories": [
            {"id": 1, "name": "cat", "supercategory": "cat", "isthing": 1},
            {"id": 2, "name": "dog", "supercategory": "dog", "isthing": 1},
        ],
        "images": [{"id": 1, "file_name": "sub/a.jpg", "width": 20, "height": 12}],
        "annotations": [
            {
                "image_id": 1,
                "file_name": "sub/a.png",
                "segments_info": [
                    {"id": 1, "category_id": 1, "area": 36, "bbox": [2, 3, 7, 7], "iscrowd": 0},
                    {"id": 2, "category_id": 2, "area": 8, "bbox": [7, 8, 4, 2], "iscrowd": 0},
                ],
            }
        ],
    }
    check_the_rules(tmp_path, content)


def test_ids_beyond_255_go_into_the_second_channel(tmp_path: Path, make_mask: MakeMask) -> None:
    dots = [make_mask([[1]], at=(index % 20, index // 20)) for index in range(300)]
    content = write(tmp_path, masked("b", *dots, height=15), cat_and_dog(make_mask), masked("empty"))
    assert [entry["file_name"] for entry in content["images"]] == ["b.jpg", "empty.jpg", "sub/a.jpg"]
    assert [len(entry["segments_info"]) for entry in content["annotations"]] == [300, 0, 2]
    check_the_rules(tmp_path, content)


def test_crowds_are_passed_through_and_hidden_instances_are_counted(
    tmp_path: Path, make_mask: MakeMask
) -> None:
    hidden = make_mask(np.ones((2, 2)), at=(3, 3), box=Box(0, 0, 12, 12))
    crowd = make_mask(np.ones((6, 6)), at=(2, 2), flags=Flags(crowd=True))
    with PanopticWriter(tmp_path, NAMES) as writer:
        writer.write(masked("a", hidden, crowd, make_mask(RING, at=(10, 1), class_name="dog")))
    assert writer.losses == {
        "instances that lose every pixel to overlaps": 1,
        "pixels that masks lose to overlaps": 4,
    }
    content = json.loads((tmp_path / "panoptic.json").read_text())
    segments = content["annotations"][0]["segments_info"]
    assert [(entry["id"], entry["category_id"], entry["iscrowd"]) for entry in segments] == [
        (2, 1, 1),
        (3, 2, 0),
    ]
    check_the_rules(tmp_path, content)
