from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from boxmask_core.errors import DatasetError
from boxmask_core.formats.labelme_masks import LabelmeMaskWriter, read_labelme_masks
from tests.core.formats.scenes import NAMES, RING, cat_and_dog

if TYPE_CHECKING:
    from pathlib import Path

    from tests.core.conftest import MakeMask


def write_one(folder: Path, make_mask: MakeMask) -> Any:
    with LabelmeMaskWriter(folder, NAMES) as writer:
        writer.write(cat_and_dog(make_mask))
    assert writer.losses == {}
    return json.loads((folder / "labelme" / "sub" / "a.json").read_text())


def test_a_mask_lies_between_two_corners_that_are_inside(tmp_path: Path, make_mask: MakeMask) -> None:
    content = write_one(tmp_path, make_mask)
    cat, dog = content.pop("shapes")
    assert content == {
        "version": "5.3.0",
        "flags": {},
        "imagePath": "a.jpg",
        "imageData": None,
        "imageHeight": 12,
        "imageWidth": 20,
    }
    with Image.open(io.BytesIO(base64.b64decode(cat.pop("mask")))) as image:
        assert image.mode == "L"
        assert (np.asarray(image) == RING).all()
    assert cat == {
        "label": "cat",
        "points": [[2, 3], [8, 9]],
        "group_id": None,
        "description": "",
        "shape_type": "mask",
        "flags": {"difficult": False, "truncated": True, "occluded": False, "crowd": False},
        "source_box": [2, 3, 9, 10],
        "source_id": "17",
        "quality": 0.5,
        "fallback": "none",
    }
    assert dog["points"] == [[7, 8], [10, 9]]
    assert (tmp_path / "labels.txt").read_text() == "__ignore__\n_background_\ncat\ndog\n"


@pytest.mark.parametrize(
    "change",
    [
        {"mask": "AAAA"},
        {"mask": "?"},
        {"mask": None},
        {"points": [[2, 3]]},
        {"points": [[14, 3], [20, 9]]},
        {"flags": {"bogus": True}},
        {"source_box": [0, 0, 0, 0]},
        {"fallback": "bogus"},
    ],
)
def test_a_broken_mask_is_refused_by_name(
    tmp_path: Path, make_mask: MakeMask, change: dict[str, Any]
) -> None:
    content = write_one(tmp_path, make_mask)
    content["shapes"][0] |= change
    (tmp_path / "labelme" / "sub" / "a.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"a\.json: cannot be read as LabelMe masks"):
        list(read_labelme_masks(tmp_path))
