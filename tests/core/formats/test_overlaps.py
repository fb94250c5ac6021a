"""What label maps do where masks overlap or are not trusted, and that formats of whole masks do nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from boxmask_core.boxes import Box
from boxmask_core.compositing import Overlaps
from boxmask_core.errors import DatasetError, InvalidRequestError
from boxmask_core.formats import WRITERS
from boxmask_core.formats.interface import WriterOptions
from boxmask_core.formats.limits import LIMITS
from boxmask_core.instances import MaskedImage
from tests.core.overlap_reference import HEIGHT, NAMES, POLICIES, WIDTH, instance_masks, owned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_core.instances import InstanceMask
    from tests.core.conftest import MakeMask
    from tests.core.overlap_reference import Owned

Found = dict[str, "NDArray[np.int64]"]


def pixels(path: Path) -> NDArray[np.int64]:
    with Image.open(path) as image:
        return np.asarray(image).astype(np.int64)


def voc(out: Path) -> Found:
    return {
        "classes": pixels(out / "SegmentationClass" / "a.png"),
        "objects": pixels(out / "SegmentationObject" / "a.png"),
    }


def semantic(out: Path) -> Found:
    return {"classes": pixels(out / "masks" / "a.png")}


def cityscapes(out: Path) -> Found:
    ids = pixels(out / "gtFine" / "a_gtFine_instanceIds.png")
    return {"classes": pixels(out / "gtFine" / "a_gtFine_labelIds.png"), "instance ids": ids}


def panoptic(out: Path) -> Found:
    return {"segments": pixels(out / "panoptic" / "a.png") @ np.array([1, 256, 65536])}


FLAT: dict[str, Callable[[Path], Found]] = {
    "voc": voc,
    "semantic": semantic,
    "cityscapes": cityscapes,
    "coco-panoptic": panoptic,
}
WHOLE = sorted(WRITERS.keys() - FLAT.keys())


def expected(target: str, owners: Owned, masks: Sequence[InstanceMask]) -> Found:
    classes, objects = owners.classes(masks, void=255), owners.objects(void=255)
    if target == "coco-panoptic":
        return {"segments": owners.objects(void=0)}
    if target == "semantic":
        return {"classes": classes}
    if target == "voc":
        return {"classes": classes, "objects": objects}
    numbers = [
        sum(other.instance.class_name == mask.instance.class_name for other in masks[:place])
        for place, mask in enumerate(masks)
    ]
    ids = {0: 0, 255: 255} | {
        place + 1: (NAMES.index(mask.instance.class_name) + 1) * 1000 + numbers[place]
        for place, mask in enumerate(masks)
    }
    return {"classes": classes, "instance ids": np.array([[ids[int(v)] for v in row] for row in objects])}


@pytest.mark.parametrize("target", FLAT)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(masks=instance_masks(), overlaps=st.sampled_from(POLICIES), void_below=st.sampled_from([None, 0.5]))
def test_every_label_map_heeds_every_policy_and_says_what_is_hidden(
    tmp_path: Path, target: str, masks: list[InstanceMask], overlaps: Overlaps, void_below: float | None
) -> None:
    image = MaskedImage("a", "a.jpg", WIDTH, HEIGHT, tuple(masks))
    owners = owned(masks, overlaps, void_below)
    with WRITERS[target](tmp_path, NAMES, WriterOptions(overlaps, void_below)) as writer:
        hidden = writer.write(image)
    wanted = expected(target, owners, masks)
    found = FLAT[target](tmp_path)
    assert found.keys() == wanted.keys()
    for name, labels in wanted.items():
        assert (found[name] == labels).all(), name
    assert hidden == owners.hidden(masks, void_below)
    trusted = [mask for mask in masks if void_below is None or mask.quality >= void_below]
    visible = sum(owner is not None and owner >= 0 for row in owners.owners for owner in row)
    claimed = sum(int(mask.proposal.mask.sum()) for mask in trusted)
    counted = {
        "pixels that masks lose to overlaps": claimed - visible,
        "instances that lose every pixel to overlaps": len(hidden),
        "instances that are not trusted, their box void": len(masks) - len(trusted),
        "instances with an empty mask": sum(not mask.proposal.mask.any() for mask in trusted),
    }
    if target == "semantic":
        counted["instances that become part of their class"] = len(masks)
    assert writer.losses == {loss: times for loss, times in counted.items() if times}


@pytest.mark.parametrize("target", WHOLE)
@pytest.mark.parametrize("overlaps", POLICIES, ids=lambda overlaps: overlaps.policy)
def test_formats_of_whole_masks_write_the_same_whatever_the_policy(
    tmp_path: Path, make_mask: MakeMask, target: str, overlaps: Overlaps
) -> None:
    covered = make_mask(np.ones((2, 2)), at=(1, 1), class_name="cat", identity="7", box=Box(0, 0, 7, 5))
    image = MaskedImage("a", "a.jpg", WIDTH, HEIGHT, (covered, make_mask(np.ones((4, 4)), class_name="dog")))
    for folder, options in (("plain", WriterOptions()), ("asked", WriterOptions(overlaps))):
        with WRITERS[target](tmp_path / folder, NAMES, options) as writer:
            assert writer.write(image) == ()
    plain = {path.name: path.read_bytes() for path in (tmp_path / "plain").rglob("*") if path.is_file()}
    asked = {path.name: path.read_bytes() for path in (tmp_path / "asked").rglob("*") if path.is_file()}
    assert plain
    assert plain == asked


@pytest.mark.parametrize("target", WHOLE)
def test_formats_without_void_refuse_to_void_what_is_not_trusted(tmp_path: Path, target: str) -> None:
    remedy = "below 0.25 are to become void, but this format holds instances and no void; write a label map"
    with pytest.raises(DatasetError, match=remedy):
        WRITERS[target](tmp_path / "out", NAMES, WriterOptions(void_below=0.25))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", FLAT)
def test_a_priority_of_an_unknown_class_is_refused_before_anything_is_written(
    tmp_path: Path, target: str
) -> None:
    options = WriterOptions(Overlaps("priority", ("cat", "yak")))
    with pytest.raises(InvalidRequestError, match="there is no class 'yak', only: cat, dog, cow"):
        WRITERS[target](tmp_path / "out", NAMES, options)
    assert not (tmp_path / "out").exists()


def test_a_segment_of_a_void_pixel_is_listed_nowhere(tmp_path: Path, make_mask: MakeMask) -> None:
    doubtful = replace(make_mask(np.ones((2, 2)), at=(0, 0)), quality=0.1)
    trusted = [make_mask(np.ones((3, 3)), at=(1, 1)), make_mask(np.ones((3, 3)), at=(3, 1))]
    options = WriterOptions(Overlaps("void"), void_below=0.2)
    with WRITERS["coco-panoptic"](tmp_path, NAMES, options) as writer:
        writer.write(MaskedImage("a", "a.jpg", WIDTH, HEIGHT, (doubtful, *trusted)))
    (annotation,) = json.loads((tmp_path / "panoptic.json").read_text())["annotations"]
    assert [(info["id"], info["area"], info["bbox"]) for info in annotation["segments_info"]] == [
        (2, 6, [1, 1, 2, 3]),
        (3, 6, [4, 1, 2, 3]),
    ]


@pytest.mark.parametrize("target", ["voc", "cityscapes", "coco-panoptic"])
def test_void_stays_void_where_an_image_has_more_instances_than_eight_bits_hold(
    tmp_path: Path, make_mask: MakeMask, target: str
) -> None:
    dots = [make_mask([[1]], at=(place, 0), class_name="dog", identity=str(place)) for place in range(300)]
    twice = [*dots, make_mask([[1]], at=(7, 0), class_name="cat", identity="300")]
    with WRITERS[target](tmp_path, NAMES, WriterOptions(Overlaps("void"))) as writer:
        assert writer.write(MaskedImage("a", "a.jpg", 301, 1, tuple(twice))) == ("7", "300")
    found = list(FLAT[target](tmp_path).values())[-1][0].tolist()
    first, void = {"voc": (1, 65535), "cityscapes": (2000, 255), "coco-panoptic": (1, 0)}[target]
    numbers = [void if place == 7 else first + place for place in range(300)]
    assert found == [*numbers, 0]


def test_a_format_is_lossy_if_masks_change_and_not_if_a_policy_decides() -> None:
    lossy = {name for name, limits in LIMITS.items() if limits.lossy}
    assert lossy == {"yolo", "yolo-split", "yolo-largest", "labelme-polygons"}
    assert {name for name, limits in LIMITS.items() if limits.overlaps} == set(FLAT)
    for limits in LIMITS.values():
        assert limits.sentences == limits.shapes + limits.overlaps + limits.records
        assert len(set(limits.sentences)) == len(limits.sentences)
