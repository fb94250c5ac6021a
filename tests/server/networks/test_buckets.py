from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxmask_core.bundle import AnySize
from boxmask_core.segmentation import canvas_for
from boxmask_server.networks.buckets import COARSE_FROM, Buckets

SIZES = [AnySize(32, 768), AnySize(16, 1040), AnySize(8, 8), AnySize(96, 384), AnySize(48, 720)]


@pytest.mark.parametrize("size", SIZES)
@given(width=st.integers(1, 3000), height=st.integers(1, 3000), scale=st.sampled_from([0.25, 1.0, 1.5]))
def test_fine_buckets_are_the_networks_own_sizes(
    size: AnySize, width: int, height: int, scale: float
) -> None:
    expected = canvas_for(width, height, size.step, size.max_side, scale=scale)
    assert Buckets.fine(size).canvas(width, height, scale) == expected


@pytest.mark.parametrize("size", SIZES)
@given(width=st.integers(1, 3000), height=st.integers(1, 3000))
def test_coarse_buckets_hold_the_image_and_little_more(size: AnySize, width: int, height: int) -> None:
    canvas = Buckets.coarse(size).canvas(width, height)
    for shown, padded in zip(canvas.resized, canvas.padded, strict=True):
        assert shown <= padded <= size.max_side
        assert padded % size.step == 0
        assert padded - shown < max(size.step, 64)
        if shown > COARSE_FROM and size.step <= 64:
            assert padded - shown < shown / 4


def test_every_canvas_is_among_the_shapes_that_are_warmed_up() -> None:
    buckets = Buckets.coarse(AnySize(32, 768))
    shapes = set(buckets.shapes())
    assert len(shapes) == 16 * 16
    for width in range(1, 900, 37):
        for height in range(1, 900, 41):
            assert buckets.canvas(width, height).padded in shapes
