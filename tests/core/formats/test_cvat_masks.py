from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError
from boxmask_core.formats.cvat import CvatDataset
from boxmask_core.formats.cvat_masks import CvatMaskWriter, read_cvat_masks
from boxmask_core.grabcut import Fallback
from boxmask_core.instances import Flags, Instance
from tests.core.formats.scenes import NAMES, RING, cat_and_dog, masked
from tests.core.formats.test_run_codecs import CVAT_RING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.core.conftest import MakeMask


def write_one(folder: Path, make_mask: MakeMask) -> Path:
    with CvatMaskWriter(folder, NAMES) as writer:
        writer.write(cat_and_dog(make_mask))
    assert writer.losses == {}
    return folder / "annotations.xml"


def test_masks_are_written_as_cvat_writes_them(tmp_path: Path, make_mask: MakeMask) -> None:
    text = write_one(tmp_path, make_mask).read_text()
    runs = ", ".join(map(str, CVAT_RING))
    assert '<image id="0" name="sub/a.jpg" width="20" height="12">' in text
    assert (
        f'<mask label="cat" source="auto" occluded="0" rle="{runs}" left="2" top="3" width="7" height="7" '
        'z_order="0">'
        '<attribute name="difficult">false</attribute><attribute name="truncated">true</attribute>'
        '<attribute name="crowd">false</attribute><attribute name="source_box">2,3,9,10</attribute>'
        '<attribute name="source_id">17</attribute><attribute name="quality">0.5</attribute>'
        '<attribute name="fallback">none</attribute></mask>'
    ) in text
    assert (
        '<mask label="dog" source="auto" occluded="0" rle="0, 8" left="7" top="8" width="4" height="2"'
        in text
    )


def test_the_file_is_cvats_and_declares_its_labels(tmp_path: Path, make_mask: MakeMask) -> None:
    dataset = CvatDataset(write_one(tmp_path, make_mask))
    assert dataset.class_names == NAMES
    assert len(dataset) == 1
    assert dataset.notes == ("annotations that are no boxes are left out: 2 mask",)


def test_only_the_bounds_of_a_mask_are_written(tmp_path: Path, make_mask: MakeMask) -> None:
    mask = np.zeros((8, 9))
    mask[2:4, 5:8] = 1
    with CvatMaskWriter(tmp_path, NAMES) as writer:
        writer.write(masked("a", make_mask(mask, at=(1, 2), flags=Flags(occluded=True))))
    text = (tmp_path / "annotations.xml").read_text()
    assert 'occluded="1" rle="0, 6" left="6" top="4" width="3" height="2"' in text
    assert '<attribute name="source_box">1,2,10,10</attribute>' in text


def test_characters_that_xml_cannot_hold_are_replaced_and_counted(
    tmp_path: Path, make_mask: MakeMask
) -> None:
    with CvatMaskWriter(tmp_path, NAMES) as writer:
        writer.write(masked("a", make_mask(RING, identity="x\0\udcff")))
    assert writer.losses == {"texts with characters that XML cannot hold": 1}
    (image,) = read_cvat_masks(tmp_path)
    assert image.masks[0].instance.id == "x??"


def test_masks_without_what_boxmask_notes_have_the_box_of_their_pixels(
    tmp_path: Path, make_mask: MakeMask
) -> None:
    """As in CVAT's own exports, which also hold shapes of other kinds."""
    file = write_one(tmp_path, make_mask)
    bare = re.sub("<attribute name=.*</attribute>", "", file.read_text())
    assert "source_box</name>" in bare
    file.write_text(bare.replace("</image>", '<box label="cat" xtl="1" ytl="1" xbr="2" ybr="2"/></image>'))
    (image,) = read_cvat_masks(tmp_path)
    cat, dog = image.masks
    assert cat.instance == Instance(Box(2, 3, 9, 10), "cat")
    assert (cat.proposal.mask == RING).all()
    assert (cat.quality, cat.proposal.fallback) == (1.0, Fallback.NONE)
    assert dog.instance.box == Box(7, 8, 11, 10)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('rle="0, 16', 'rle="0, 17'),
        ('rle="0, 16', 'rle="x, 16'),
        ('left="2"', 'left="14"'),
        ('left="2"', 'left="-1"'),
        ('left="2"', ""),
        ('width="20"', ""),
        ("2,3,9,10", "2,3,9"),
        ("2,3,9,10", "2,3,nan,10"),
        (">none<", ">bogus<"),
        (">0.5<", "><"),
    ],
)
def test_a_broken_mask_is_refused_by_name(tmp_path: Path, make_mask: MakeMask, old: str, new: str) -> None:
    file = write_one(tmp_path, make_mask)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(DatasetError, match=r"annotations\.xml: image 'sub/a\.jpg' cannot be read as masks"):
        list(read_cvat_masks(file))
