from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError
from boxmask_core.formats.labelstudio_masks import LabelStudioMaskWriter, read_labelstudio_masks
from boxmask_core.grabcut import Fallback
from boxmask_core.instances import Instance
from boxmask_core.rle import decode_rle
from tests.core.formats.scenes import NAMES, RING, cat_and_dog, masked
from tests.core.formats.test_run_codecs import BRUSH_RING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

    from tests.core.conftest import MakeMask


def write_one(folder: Path, make_mask: MakeMask, shapes: Literal["brush", "bitmask"]) -> Any:
    with LabelStudioMaskWriter(folder, NAMES, shapes=shapes) as writer:
        writer.write(cat_and_dog(make_mask))
    assert writer.losses == {}
    return json.loads((folder / "tasks.json").read_text())


def test_a_brush_is_a_prediction_to_import(tmp_path: Path, make_mask: MakeMask) -> None:
    (task,) = write_one(tmp_path, make_mask, "brush")
    cat, dog = task["predictions"][0].pop("result")
    assert task == {
        "data": {"image": "/data/local-files/?d=sub/a.jpg"},
        "meta": {"width": 20, "height": 12},
        "predictions": [{"model_version": "boxmask", "score": 0.5}],
    }
    assert cat == {
        "id": "mask0",
        "type": "brushlabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": 20,
        "original_height": 12,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": BRUSH_RING, "brushlabels": ["cat"]},
        "score": 0.5,
        "meta": {
            "difficult": False,
            "truncated": True,
            "occluded": False,
            "crowd": False,
            "source_box": [2, 3, 9, 10],
            "source_id": "17",
            "quality": 0.5,
            "fallback": "none",
        },
    }
    assert (dog["id"], dog["value"]["brushlabels"]) == ("mask1", ["dog"])


def test_a_bitmask_is_black_on_transparent_ground(tmp_path: Path, make_mask: MakeMask) -> None:
    (task,) = write_one(tmp_path, make_mask, "bitmask")
    cat = task["predictions"][0]["result"][0]
    assert (cat["type"], cat["value"]["bitmasklabels"]) == ("bitmasklabels", ["cat"])
    kind, _, data = cat["value"]["imageDataURL"].partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        pixels = np.asarray(image)
    expected = np.zeros((12, 20, 4), dtype=np.uint8)
    expected[3:10, 2:9, 3] = RING * 255
    assert (pixels == expected).all()


def test_a_polygon_encloses_exactly_the_mask(
    tmp_path: Path, make_mask: MakeMask, rng: np.random.Generator
) -> None:
    """By parity as COCO fills it, and by winding as a browser's canvas does: bridges enclose nothing."""
    masks = [rng.random((9, 13)) < density for density in (0.1, 0.3, 0.5, 0.7, 0.9) for _ in range(8)]
    for mask in masks:
        mask[4, 4] = True
    image = masked("a", *(make_mask(mask, at=(4, 6)) for mask in masks), width=17, height=37)
    with LabelStudioMaskWriter(tmp_path, NAMES, shapes="polygon") as writer:
        writer.write(image)
    assert writer.losses.keys() == {"parts joined by a bridge", "holes joined by a bridge"}
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    results = task["predictions"][0]["result"]
    for result, mask in zip(results, masks, strict=True):
        assert (result["type"], result["value"]["closed"]) == ("polygonlabels", True)
        assert result["value"]["polygonlabels"] == ["cat"]
        points = np.array(result["value"]["points"]) * (17, 37) / 100
        x, y = points.T
        area = (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2
        assert abs(area) == pytest.approx(mask.sum())
        ring: list[list[Any]] = [points.ravel().tolist()]
        counts = coco_mask.merge(coco_mask.frPyObjects(ring, 37, 17))["counts"]
        assert isinstance(counts, bytes)
        full = np.zeros((37, 17), dtype=np.bool_)
        full[6:15, 4:17] = mask
        assert (decode_rle(counts, 37, 17) == full).all()
    (found,) = read_labelstudio_masks(tmp_path)
    assert all((back.proposal.mask == mask).all() for back, mask in zip(found.masks, masks, strict=True))


def test_an_annotation_that_came_back_from_label_studio_is_read(tmp_path: Path, make_mask: MakeMask) -> None:
    (task,) = write_one(tmp_path, make_mask, "brush")
    first, second = task["predictions"][0]["result"]
    del second["meta"]
    annotation = {"id": 1, "result": [second], "was_cancelled": False}
    (tmp_path / "tasks.json").write_text(json.dumps([task | {"annotations": [annotation]}]))
    (image,) = read_labelstudio_masks(tmp_path)
    (dog,) = image.masks
    assert dog.instance == Instance(Box(7, 8, 11, 10), "dog")
    assert (dog.quality, dog.proposal.fallback) == (1.0, Fallback.NONE)
    assert first["value"]["brushlabels"] == ["cat"]


@pytest.mark.parametrize(
    "change",
    [
        {"value": {"rle": BRUSH_RING[:-9], "brushlabels": ["cat"]}},
        {"value": {"rle": BRUSH_RING}},
        {
            "type": "bitmasklabels",
            "value": {"imageDataURL": "data:image/png;base64,AAAA", "bitmasklabels": ["cat"]},
        },
        {"type": "bitmasklabels", "value": {"imageDataURL": "?", "bitmasklabels": ["cat"]}},
        {"meta": None},
        {"meta": {"quality": "?"}},
        {"type": "polygonlabels", "value": {"points": [[0, 0], [1, 1]], "polygonlabels": ["cat"]}},
        {"type": "polygonlabels", "value": {"points": [[0, 0], [1, 1], [1, 101]], "polygonlabels": ["cat"]}},
        {"type": "keypointlabels", "value": {"x": 1, "y": 1, "keypointlabels": ["cat"]}},
    ],
)
def test_a_broken_mask_is_refused_by_name(
    tmp_path: Path, make_mask: MakeMask, change: dict[str, Any]
) -> None:
    tasks = write_one(tmp_path, make_mask, "brush")
    tasks[0]["predictions"][0]["result"][0] |= change
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    with pytest.raises(DatasetError, match=r"tasks\.json: task 0 cannot be read as masks"):
        list(read_labelstudio_masks(tmp_path))


def test_a_bitmask_of_another_size_is_refused(tmp_path: Path, make_mask: MakeMask) -> None:
    tasks = write_one(tmp_path, make_mask, "bitmask")
    tasks[0]["meta"]["width"] = 21
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    with pytest.raises(DatasetError, match="expected an RGBA PNG of"):
        list(read_labelstudio_masks(tmp_path / "tasks.json"))
