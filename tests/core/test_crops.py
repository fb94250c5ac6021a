from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from boxmask_core.boxes import Box, Window
from boxmask_core.crops import PADDING, network_crop, padded_crop, probability_in_image, resized
from boxmask_core.errors import InvalidBoxError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def test_the_crop_is_the_expanded_box_with_the_box_marked(cat: NDArray[np.uint8]) -> None:
    crop = network_crop(cat, Box(100, 50, 300, 250), 64)
    assert crop.window == Window(50, 0, 350, 300)
    assert crop.pixels.shape == (64, 64, 3)
    rows, columns = np.flatnonzero(crop.box_mask.any(axis=1)), np.flatnonzero(crop.box_mask.any(axis=0))
    # The box takes the middle two thirds: from 1/6 to 5/6 of 64 pixels.
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (11, 52, 11, 52)
    assert crop.box_mask.sum() == 42 * 42


def test_shrinking_agrees_with_an_area_average(cat: NDArray[np.uint8]) -> None:
    crop = network_crop(cat, Box(100, 50, 300, 250), 50)
    blocks = cat[0:300, 50:350].reshape(50, 6, 50, 6, 3).mean(axis=(1, 3))
    assert np.abs(crop.pixels - blocks).max() <= 1


def test_enlarging_is_bilinear(cat: NDArray[np.uint8]) -> None:
    small = cat[100:110, 100:110]
    reference = np.asarray(Image.fromarray(small).resize((40, 40), Image.Resampling.BILINEAR))
    assert np.abs(resized(small, (40, 40)).astype(int) - reference).max() <= 2


def test_what_lies_outside_the_image_has_the_mean_colour(cat: NDArray[np.uint8]) -> None:
    out = padded_crop(cat, Window(-10, -5, 20, 15))
    assert out.shape == (20, 30, 3)
    assert (out[:5] == PADDING).all()
    assert (out[:, :10] == PADDING).all()
    assert (out[5:, 10:] == cat[:15, :20]).all()


def test_a_window_outside_the_image_is_refused(cat: NDArray[np.uint8]) -> None:
    with pytest.raises(InvalidBoxError):
        padded_crop(cat, Window(1000, 0, 1010, 10))
    with pytest.raises(InvalidBoxError, match="outside the 451 x 300 image"):
        network_crop(cat, Box(-20, 0, -10, 10), 32)


def test_a_box_far_beyond_the_image_costs_no_more_than_the_image(cat: NDArray[np.uint8]) -> None:
    crop = network_crop(cat, Box(-1e300, -1e300, 1e300, 1e300), 32)
    assert crop.window == network_crop(cat, Box(0, 0, 451, 300), 32).window


def test_the_probability_returns_to_its_place_in_the_image() -> None:
    probability = np.zeros((10, 10), dtype=np.float32)
    probability[:, 5:] = 1
    part, visible = probability_in_image(probability, Window(-10, 0, 30, 20), (25, 15))
    assert visible == Window(0, 0, 25, 15)
    assert part.shape == (15, 25)
    assert part.flags.c_contiguous
    assert (part[:, :8] == 0).all()
    assert (part[:, 12:] == 1).all()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.floats(-3, 11.9),
    st.floats(-3, 11.9),
    st.floats(0.01, 15),
    st.floats(0.01, 15),
)
def test_any_box_that_overlaps_any_image_has_a_crop_and_a_way_back(
    width: int, height: int, x0: float, y0: float, box_width: float, box_height: float
) -> None:
    image = np.arange(width * height * 3, dtype=np.uint8).reshape(height, width, 3)
    box = Box(x0, y0, x0 + box_width, y0 + box_height)
    try:
        inside = box.clipped(width, height).window()
    except InvalidBoxError:
        return
    crop = network_crop(image, box, 8)
    assert crop.box_mask.any()
    _, visible = probability_in_image(np.ones((8, 8), dtype=np.float32), crop.window, (width, height))
    assert visible.x0 <= inside.x0 < inside.x1 <= visible.x1
    assert visible.y0 <= inside.y0 < inside.y1 <= visible.y1
