from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml
from PIL import Image

from boxmask_core.errors import DatasetError
from boxmask_core.formats.semantic_masks import SemanticWriter
from tests.core.formats.scenes import NAMES, RING, cat_and_dog

if TYPE_CHECKING:
    from pathlib import Path

    from tests.core.conftest import MakeMask


def test_a_pixel_is_the_index_of_its_class_and_0_the_background(tmp_path: Path, make_mask: MakeMask) -> None:
    with SemanticWriter(tmp_path, NAMES) as writer:
        writer.write(cat_and_dog(make_mask))
    expected = np.zeros((12, 20), dtype=np.uint8)
    expected[3:10, 2:9][RING > 0] = 1
    expected[8:10, 7:11] = 2
    with Image.open(tmp_path / "masks" / "sub" / "a.png") as image:
        assert image.mode == "L"
        assert (np.asarray(image) == expected).all()
    assert yaml.safe_load((tmp_path / "data.yaml").read_text()) == {
        "path": ".",
        "train": "images",
        "val": "images",
        "masks_dir": "masks",
        "names": {0: "background", 1: "cat", 2: "dog"},
    }
    assert writer.losses == {
        "pixels that masks lose to overlaps": 4,
        "instances that become part of their class": 2,
    }


def test_more_classes_than_8_bits_hold_are_refused(tmp_path: Path) -> None:
    SemanticWriter(tmp_path, [str(index) for index in range(254)])
    with pytest.raises(DatasetError, match="at most 254 classes, but got 255; write VOC, whose maps may"):
        SemanticWriter(tmp_path, [str(index) for index in range(255)])
