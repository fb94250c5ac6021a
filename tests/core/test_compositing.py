from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxmask_core.boxes import Box
from boxmask_core.compositing import Overlaps, compose
from boxmask_core.errors import InvalidMaskError, InvalidRequestError
from tests.core.overlap_reference import HEIGHT, NAMES, POLICIES, WIDTH, instance_masks, owned

if TYPE_CHECKING:
    from boxmask_core.instances import InstanceMask
    from tests.core.conftest import MakeMask

CLASSES = {"cat": 1, "dog": 2, "cow": 3}


def test_no_masks_give_background() -> None:
    maps = compose(4, 3, [], CLASSES)
    assert maps.classes.shape == maps.objects.shape == (3, 4)
    assert not maps.classes.any()
    assert not maps.objects.any()


def test_smaller_boxes_lie_on_top_whatever_the_order(make_mask: MakeMask) -> None:
    masks = [
        make_mask(np.ones((6, 6)), class_name="cat"),
        make_mask(np.ones((4, 4)), at=(1, 1), class_name="dog"),
        make_mask(np.ones((2, 2)), at=(2, 2), class_name="cow"),
    ]
    for order in permutations(range(3)):
        maps = compose(6, 6, [masks[index] for index in order], CLASSES)
        assert maps.classes.tolist() == [
            [1, 1, 1, 1, 1, 1],
            [1, 2, 2, 2, 2, 1],
            [1, 2, 3, 3, 2, 1],
            [1, 2, 3, 3, 2, 1],
            [1, 2, 2, 2, 2, 1],
            [1, 1, 1, 1, 1, 1],
        ]
        assert [maps.objects[0, 0] - 1, maps.objects[1, 1] - 1, maps.objects[2, 2] - 1] == [
            order.index(place) for place in range(3)
        ]


def test_the_box_decides_and_not_the_mask(make_mask: MakeMask) -> None:
    speck_in_large_box = make_mask(np.ones((1, 1)), class_name="cat", box=Box(0, 0, 9, 9))
    full_small_box = make_mask(np.ones((3, 3)), class_name="dog")
    assert compose(9, 9, [full_small_box, speck_in_large_box], CLASSES).classes[0, 0] == 2


def test_boxes_of_one_area_are_painted_by_y0_then_x0_then_place(make_mask: MakeMask) -> None:
    top = make_mask(np.ones((4, 1)), at=(1, 0), class_name="cat")
    left = make_mask(np.ones((1, 4)), at=(0, 1), class_name="dog")
    assert compose(4, 4, [top, left], CLASSES).classes[1, 1] == 2
    assert compose(4, 4, [left, top], CLASSES).classes[1, 1] == 2
    twins = [make_mask(np.ones((2, 2)), class_name=name) for name in ("dog", "cat")]
    assert compose(2, 2, twins, CLASSES).classes[0, 0] == 1


def test_background_of_a_mask_hides_nothing(make_mask: MakeMask) -> None:
    large = make_mask(np.ones((4, 4)), class_name="cat")
    ring = make_mask([[1, 1, 1], [1, 0, 1], [1, 1, 1]], class_name="dog")
    assert compose(4, 4, [large, ring], CLASSES).classes[1, 1] == 1


@pytest.mark.parametrize(("count", "dtype"), [(254, np.uint8), (255, np.uint16), (300, np.uint16)])
def test_more_objects_than_eight_bits_hold_take_sixteen(make_mask: MakeMask, count: int, dtype: type) -> None:
    masks = [make_mask(np.ones((1, 1)), at=(index, 0)) for index in range(count)]
    maps = compose(count, 1, masks, CLASSES)
    assert maps.objects.dtype == dtype
    assert maps.objects[0].tolist() == list(range(1, count + 1))


@given(instance_masks(), st.sampled_from(POLICIES), st.sampled_from([None, 0.0, 0.25, 0.3, 1.0, 2.0]))
def test_every_policy_decides_as_a_look_at_each_pixel_does(
    masks: list[InstanceMask], overlaps: Overlaps, void_below: float | None
) -> None:
    indices = {name: index for index, name in enumerate(NAMES, start=1)}
    maps = compose(WIDTH, HEIGHT, masks, indices, overlaps, void_below)
    expected = owned(masks, overlaps, void_below)
    assert (maps.classes == expected.classes(masks, void=255)).all()
    assert (maps.objects == expected.objects(void=255)).all()


def test_void_where_two_masks_claim_a_pixel_takes_the_depth_of_each_map(make_mask: MakeMask) -> None:
    names = {str(index): index for index in range(1, 256)}
    masks = [make_mask(np.ones((1, 2)), at=(index, 0), class_name="255") for index in range(255)]
    maps = compose(256, 1, masks, names, Overlaps("void"))
    assert maps.classes.dtype == maps.objects.dtype == np.uint16
    assert maps.classes[0].tolist() == [255, *[65535] * 254, 255]
    assert maps.objects[0].tolist() == [1, *[65535] * 254, 255]
    shallow = compose(256, 1, masks[:254], dict(list(names.items())[:254]) | {"255": 254}, Overlaps("void"))
    assert shallow.classes.dtype == shallow.objects.dtype == np.uint8
    assert shallow.classes[0, :3].tolist() == [254, 255, 255]
    assert shallow.objects[0, 250:].tolist() == [255, 255, 255, 255, 254, 0]


def test_a_mask_without_a_quality_is_not_trusted(make_mask: MakeMask) -> None:
    mask = replace(make_mask([[1, 0]]), quality=float("nan"))
    assert compose(3, 1, [mask], CLASSES).classes.tolist() == [[1, 0, 0]]
    assert compose(3, 1, [mask], CLASSES, void_below=0.5).classes.tolist() == [[255, 255, 0]]


def test_more_instances_than_sixteen_bits_hold_are_refused(make_mask: MakeMask) -> None:
    with pytest.raises(InvalidMaskError, match="at most 65534 instances, but got 65535; write COCO"):
        compose(1, 1, [make_mask([[1]])] * 65535, CLASSES)


def test_a_priority_of_unknown_classes_or_of_none_is_refused_by_name() -> None:
    Overlaps("priority", ("dog",)).require_known(CLASSES)
    with pytest.raises(InvalidRequestError, match="priority: there is no class 'yak', only: cat, dog, cow"):
        Overlaps("priority", ("dog", "yak")).require_known(CLASSES)
    with pytest.raises(InvalidRequestError, match="priority: name the classes that lie on top"):
        Overlaps("priority").require_known(CLASSES)


def test_an_unknown_class_is_the_callers_mistake(make_mask: MakeMask) -> None:
    with pytest.raises(KeyError, match="unicorn"):
        compose(1, 1, [make_mask([[1]], class_name="unicorn")], CLASSES)
