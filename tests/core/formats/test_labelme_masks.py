from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError
from boxmask_core.formats.labelme_masks import LabelmeMaskWriter, read_labelme_masks
from boxmask_core.grabcut import Fallback
from boxmask_core.instances import Flags, Instance
from tests.core.formats.scenes import NAMES, RING, cat_and_dog, masked

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

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


def random_mask(rng: np.random.Generator) -> NDArray[np.bool_]:
    height, width = (int(side) for side in rng.integers(1, 20, 2))
    mask = np.asarray(rng.random((height, width)) < rng.choice([0.2, 0.5, 0.9]))
    mask[-1, -1] = True
    return mask


def filled_by_labelme(shapes: list[dict[str, Any]], width: int, height: int) -> NDArray[np.bool_]:
    """Draws polygons as LabelMe's ``shape_to_mask`` does."""
    canvas = Image.new("L", (width, height))
    for shape in shapes:
        ImageDraw.Draw(canvas).polygon([tuple(point) for point in shape["points"]], outline=1, fill=1)
    return np.asarray(canvas) > 0


def test_polygons_without_holes_fill_to_exactly_the_mask_and_come_back(
    tmp_path: Path, make_mask: MakeMask, rng: np.random.Generator
) -> None:
    for case in range(60):
        mask = np.asarray(ndimage.binary_fill_holes(random_mask(rng)))
        image = masked(str(case), make_mask(mask, at=(3, 5), identity="7"), width=30, height=30)
        with LabelmeMaskWriter(tmp_path / image.key, NAMES, shapes="polygon") as writer:
            writer.write(image)
        assert writer.losses == {}
        shapes = json.loads((tmp_path / image.key / "labelme" / f"{case}.json").read_text())["shapes"]
        full = np.zeros((30, 30), dtype=np.bool_)
        full[5 : 5 + mask.shape[0], 3 : 3 + mask.shape[1]] = mask
        assert (filled_by_labelme(shapes, 30, 30) == full).all()
        (found,) = read_labelme_masks(tmp_path / image.key)
        (back,) = found.masks
        assert back.instance == image.masks[0].instance
        assert (back.proposal.mask == mask).all()


def test_polygons_with_holes_are_close_and_their_holes_are_counted(
    tmp_path: Path, make_mask: MakeMask, rng: np.random.Generator
) -> None:
    masks = [random_mask(rng) for _ in range(60)]
    image = masked("a", *(make_mask(mask) for mask in masks), width=30, height=30)
    with LabelmeMaskWriter(tmp_path, NAMES, shapes="polygon") as writer:
        writer.write(image)
    inside = [np.pad(~mask, 1, constant_values=True) for mask in masks]
    four_connected = ndimage.generate_binary_structure(2, 1)
    holes = sum(ndimage.label(outside, four_connected)[1] - 1 for outside in inside)
    assert writer.losses == {"holes joined by a bridge": holes}
    (found,) = read_labelme_masks(tmp_path)
    overlaps = [
        (back.proposal.mask & mask).sum() / (back.proposal.mask | mask).sum()
        for back, mask in zip(found.masks, masks, strict=True)
    ]
    assert min(overlaps) > 0.95
    assert np.mean(overlaps) > 0.998


def test_parts_of_an_instance_are_polygons_of_one_group(tmp_path: Path, make_mask: MakeMask) -> None:
    apart = make_mask([[1, 0, 1], [1, 0, 1]], flags=Flags(crowd=True))
    with LabelmeMaskWriter(tmp_path, NAMES, shapes="polygon") as writer:
        writer.write(masked("a", make_mask(RING), apart, apart))
    shapes = json.loads((tmp_path / "labelme" / "a.json").read_text())["shapes"]
    assert [shape["group_id"] for shape in shapes] == [None, 2, 2, 3, 3]
    assert {shape["shape_type"] for shape in shapes} == {"polygon"}
    assert shapes[1]["points"] == [[0, 0], [0, 1], [0, 1]]
    assert len(next(read_labelme_masks(tmp_path)).masks) == 3


def test_what_labelme_itself_wrote_is_read(tmp_path: Path, make_mask: MakeMask) -> None:
    content = write_one(tmp_path, make_mask)
    cat = {name: content["shapes"][0][name] for name in ("label", "points", "shape_type", "mask")}
    square = {"label": "dog", "points": [[1.0, 1.0], [4.0, 1.0], [4.0, 4.0]], "shape_type": "polygon"}
    content |= {"shapes": [{**cat, "flags": {"occluded": True}}, {**square, "group_id": None, "flags": {}}]}
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.json").write_text(json.dumps({**content, "imagePath": "..\\img\\a.jpg"}))
    (image,) = read_labelme_masks(tmp_path / "elsewhere")
    assert (image.key, image.file_name) == ("a", "a.jpg")
    first, second = image.masks
    assert first.instance == Instance(Box(2, 3, 9, 10), "cat", Flags(occluded=True))
    assert (first.proposal.mask == RING).all()
    assert (first.quality, first.proposal.fallback) == (1.0, Fallback.NONE)
    assert second.instance.class_name == "dog"
    assert second.instance.box == Box(1, 1, 5, 5)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere: is no folder of LabelMe files"):
        list(read_labelme_masks(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    "change",
    [
        {"mask": "AAAA"},
        {"mask": "?"},
        {"mask": None},
        {"points": [[2, 3]]},
        {"points": [[14, 3], [20, 9]]},
        {"shape_type": "circle"},
        {"shape_type": "polygon", "points": [[2, 3]]},
        {"shape_type": "polygon", "points": None},
        {"quality": None},
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
