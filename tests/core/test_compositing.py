from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import pytest

from boxmask_core.boxes import Box
from boxmask_core.compositing import compose

if TYPE_CHECKING:
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


def test_an_unknown_class_is_the_callers_mistake(make_mask: MakeMask) -> None:
    with pytest.raises(KeyError, match="unicorn"):
        compose(1, 1, [make_mask([[1]], class_name="unicorn")], CLASSES)
