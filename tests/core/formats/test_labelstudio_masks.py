from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from boxmask_core.errors import DatasetError
from boxmask_core.formats.labelstudio_masks import LabelStudioMaskWriter, read_labelstudio_masks
from tests.core.formats.scenes import NAMES, RING, cat_and_dog
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
        {"meta": {}},
        {"meta": None},
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
