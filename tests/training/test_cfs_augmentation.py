from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from boxmask_core.boxes import Box
from boxmask_training.cfs_augmentation import jittered_colours, jittered_window

SIDES = st.floats(1, 600)
PLACES = st.floats(-50, 2000)


@given(x=PLACES, y=PLACES, width=SIDES, height=SIDES, seed=st.integers(0, 2**31))
def test_the_whole_box_stays_inside_the_window(
    x: float, y: float, width: float, height: float, seed: int
) -> None:
    box = Box(x, y, x + width, y + height)
    window, inside = jittered_window(box, np.random.default_rng(seed)), box.window()
    assert window.x0 <= inside.x0 < inside.x1 <= window.x1
    assert window.y0 <= inside.y0 < inside.y1 <= window.y1
    assert window.width <= 1.5 * 1.13 * width + 1
    assert window.height <= 1.5 * 1.13 * height + 1


def test_the_window_varies_about_the_expanded_box() -> None:
    box, rng = Box(100, 100, 300, 200), np.random.default_rng(0)
    windows = [jittered_window(box, rng) for _ in range(400)]
    expanded = box.expanded()
    for found, wanted, spread in (
        ([w.x0 for w in windows], expanded.x0, 200), ([w.x1 for w in windows], expanded.x1, 200),
        ([w.y0 for w in windows], expanded.y0, 100), ([w.y1 for w in windows], expanded.y1, 100),
    ):  # fmt: skip
        assert abs(np.mean(found) - wanted) < 0.03 * spread
        assert np.std(found) > 0.03 * spread


@given(seed=st.integers(0, 2**31))
def test_colours_stay_colours(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    before = pixels.copy()
    changed = jittered_colours(pixels, rng)
    assert changed.dtype == np.uint8
    assert changed.shape == pixels.shape
    np.testing.assert_array_equal(pixels, before)


def test_a_grey_image_stays_grey_and_even() -> None:
    changed = jittered_colours(np.full((4, 4, 3), 90, dtype=np.uint8), np.random.default_rng(1))
    assert int(changed.max()) - int(changed.min()) <= 1  # float32 rounding before the cut to whole numbers
