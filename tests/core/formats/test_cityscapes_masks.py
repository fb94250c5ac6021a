from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from boxmask_core.errors import DatasetError
from boxmask_core.formats.cityscapes_masks import CityscapesWriter
from boxmask_core.instances import Flags
from tests.core.formats.scenes import NAMES, RING, cat_and_dog, masked

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.core.conftest import MakeMask


def maps(folder: Path, key: str) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    with Image.open(folder / "gtFine" / f"{key}_gtFine_labelIds.png") as image:
        assert image.mode == "L"
        labels = np.asarray(image)
    with Image.open(folder / "gtFine" / f"{key}_gtFine_instanceIds.png") as image:
        assert image.mode == "I;16"
        return labels, np.asarray(image)


def test_an_instance_is_its_class_times_1000_and_its_number(tmp_path: Path, make_mask: MakeMask) -> None:
    picture = cat_and_dog(make_mask)
    third = make_mask([[1]], at=(19, 11), class_name="cat")
    with CityscapesWriter(tmp_path, NAMES) as writer:
        writer.write(masked("sub/a", *picture.masks, third))
    expected = np.zeros((12, 20), dtype=np.uint16)
    expected[3:10, 2:9][RING > 0] = 1000
    expected[8:10, 7:11] = 2000
    expected[11, 19] = 1001
    labels, instances = maps(tmp_path, "sub/a")
    assert (instances == expected).all()
    assert (labels == expected // 1000).all()
    assert (tmp_path / "class_names.txt").read_text() == "background\ncat\ndog\n"
    assert writer.losses == {"pixels that masks lose to overlaps": 4}


def test_a_crowd_is_its_class_alone_as_a_group_is(tmp_path: Path, make_mask: MakeMask) -> None:
    group = make_mask(np.ones((2, 2)), class_name="dog", flags=Flags(crowd=True))
    with CityscapesWriter(tmp_path, NAMES) as writer:
        writer.write(masked("a", group, make_mask([[1]], at=(9, 9), class_name="dog")))
    labels, instances = maps(tmp_path, "a")
    assert instances[:2, :2].tolist() == [[2, 2], [2, 2]]
    assert labels[0, 0] == 2
    assert instances[9, 9] == 2000
    assert writer.losses == {}


def test_instances_beyond_the_thousandth_are_their_class_alone_and_counted(
    tmp_path: Path, make_mask: MakeMask
) -> None:
    dots = [make_mask([[1]], at=(index % 40, index // 40)) for index in range(1002)]
    with CityscapesWriter(tmp_path, NAMES) as writer:
        writer.write(masked("a", *dots, width=40, height=26))
    assert writer.losses == {"instances beyond 1000 of a class": 2}
    _, instances = maps(tmp_path, "a")
    assert instances.ravel()[:1002].tolist() == [*range(1000, 2000), 1, 1]


def test_more_classes_than_16_bits_hold_are_refused(tmp_path: Path) -> None:
    CityscapesWriter(tmp_path, [str(index) for index in range(64)])
    with pytest.raises(DatasetError, match="at most 64 classes, but got 65; write VOC"):
        CityscapesWriter(tmp_path, [str(index) for index in range(65)])
