from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as npst
from skimage import data

from boxmask_core.polygons import bridged_polygon

if TYPE_CHECKING:
    from numpy.typing import NDArray


def filled(points: NDArray[np.int32], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Fills a polygon as Ultralytics does when it trains."""
    out = np.zeros(shape, dtype=np.uint8)
    cv2.fillPoly(out, [points], 1)
    return out.astype(np.bool_)


def test_an_empty_mask_has_no_polygon() -> None:
    assert bridged_polygon(np.zeros((5, 5), dtype=np.bool_)) is None


@pytest.mark.parametrize(
    "mask", [np.ones((1, 1)), np.ones((1, 5)), np.ones((5, 1)), np.ones((4, 6)), np.eye(4), np.tri(9)]
)
def test_a_single_part_without_holes_is_exact(mask: NDArray[np.float64]) -> None:
    foreground = mask.astype(np.bool_)
    polygon = bridged_polygon(foreground)
    assert polygon is not None
    assert len(polygon.points) >= 3
    assert (polygon.bridged_parts, polygon.bridged_holes) == (0, 0)
    assert (filled(polygon.points, mask.shape) == foreground).all()


def test_a_hole_stays_a_hole() -> None:
    mask = np.ones((20, 20), dtype=np.bool_)
    mask[6:14, 7:12] = False
    polygon = bridged_polygon(mask)
    assert polygon is not None
    assert (polygon.bridged_parts, polygon.bridged_holes) == (0, 1)
    assert (filled(polygon.points, mask.shape) == mask).all()


def test_parts_hang_on_a_bridge_one_pixel_wide() -> None:
    mask = np.zeros((20, 30), dtype=np.bool_)
    mask[2:10, 2:10] = mask[2:10, 20:28] = True
    polygon = bridged_polygon(mask)
    assert polygon is not None
    assert (polygon.bridged_parts, polygon.bridged_holes) == (1, 0)
    out = filled(polygon.points, mask.shape)
    assert (out | mask == out).all()
    assert (out & ~mask).sum() == 10


def test_a_ragged_mask_keeps_its_shape() -> None:
    photograph = data.coins()  # type: ignore[no-untyped-call]  # scikit-image has no types
    mask = np.asarray(photograph[:150, :200] > 110)
    polygon = bridged_polygon(mask)
    assert polygon is not None
    assert polygon.bridged_parts > 10
    assert polygon.bridged_holes > 10
    out = filled(polygon.points, mask.shape)
    assert (out & mask).sum() / (out | mask).sum() > 0.97


@settings(max_examples=60, deadline=None)
@given(npst.arrays(np.bool_, npst.array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_no_foreground_is_lost(mask: NDArray[np.bool_]) -> None:
    polygon = bridged_polygon(mask)
    if polygon is None:
        assert not mask.any()
    else:
        out = filled(polygon.points, mask.shape)
        assert out[mask].all()
