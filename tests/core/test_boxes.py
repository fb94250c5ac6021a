from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from boxmask_core.boxes import Box, Window
from boxmask_core.errors import InvalidBoxError

coordinates = st.floats(-50, 150, allow_nan=False)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x0, x1 = sorted((draw(coordinates), draw(coordinates)))
    y0, y1 = sorted((draw(coordinates), draw(coordinates)))
    assume(x0 < x1 and y0 < y1)
    return Box(x0, y0, x1, y1)


@pytest.mark.parametrize(
    ("corners", "rule"),
    [
        ((0, 0, 0, 5), "x0 < x1"),
        ((0, 5, 5, 5), "y0 < y1"),
        ((5, 0, 4, 5), "x0 < x1"),
        ((math.nan, 0, 5, 5), "finite"),
        ((0, 0, math.inf, 5), "finite"),
    ],
)
def test_a_degenerate_box_is_refused_with_its_corners(
    corners: tuple[float, float, float, float], rule: str
) -> None:
    with pytest.raises(InvalidBoxError, match=rule) as caught:
        Box(*corners)
    assert f"x1={corners[2]:g}" in str(caught.value)


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(InvalidBoxError, match="at least one pixel"):
        Window(3, 3, 3, 4)


def test_sides_and_areas() -> None:
    box, window = Box(1.5, 2, 4, 6), Window(1, 2, 4, 6)
    assert (box.width, box.height, box.area) == (2.5, 4, 10)
    assert (window.width, window.height, window.area) == (3, 4, 12)


def test_the_expanded_box_grows_by_a_quarter_of_the_side_at_each_edge() -> None:
    assert Box(10, 20, 30, 60).expanded() == Box(5, 10, 35, 70)


def test_clipping_keeps_what_lies_inside_and_refuses_a_box_outside() -> None:
    assert Box(-5, 2, 500, 8).clipped(100, 50) == Box(0, 2, 100, 8)
    assert Window(-5, 2, 500, 8).clipped(100, 50) == Window(0, 2, 100, 8)
    with pytest.raises(InvalidBoxError, match="outside the 100 x 50 image"):
        Box(100, 0, 120, 10).clipped(100, 50)


@pytest.mark.parametrize(
    ("box", "window"),
    [
        (Box(1, 2, 4, 6), Window(1, 2, 4, 6)),
        (Box(1.4, 1.5, 4.4, 4.5), Window(1, 2, 4, 5)),
        (Box(9.7, 0.2, 10, 0.4), Window(9, 0, 10, 1)),
        (Box(-2.5, -2.5, -0.5, -0.5), Window(-2, -2, 0, 0)),
    ],
)
def test_the_window_rounds_edges_half_up_and_is_never_empty(box: Box, window: Window) -> None:
    assert box.window() == window


def test_a_window_relative_to_another_indexes_its_array() -> None:
    inner = Window(5, 7, 8, 9).relative_to(Window(4, 4, 10, 10))
    assert inner == Window(1, 3, 4, 5)
    assert inner.slices() == (slice(3, 5), slice(1, 4))


@given(boxes())
def test_the_window_of_the_expanded_box_contains_the_window_of_the_box(box: Box) -> None:
    inner, outer = box.window(), box.expanded().window()
    assert outer.x0 <= inner.x0
    assert outer.y0 <= inner.y0
    assert outer.x1 >= inner.x1
    assert outer.y1 >= inner.y1


@given(boxes(), st.integers(1, 100), st.integers(1, 100))
def test_the_window_of_a_clipped_box_lies_in_the_image(box: Box, width: int, height: int) -> None:
    try:
        window = box.clipped(width, height).window()
    except InvalidBoxError:
        assert box.x1 <= 0 or box.y1 <= 0 or box.x0 >= width or box.y0 >= height
    else:
        assert window == window.clipped(width, height)


def test_the_expanded_window_grows_from_what_the_image_shows_of_the_box() -> None:
    assert Box(-1e9, 10, 50, 60).expanded_window(100, 80) == Window(-12, -2, 63, 73)
    assert Box(20, 20, 40, 60).expanded_window(100, 80) == Window(15, 10, 45, 70)


def test_the_expanded_window_of_a_box_outside_the_image_is_refused() -> None:
    with pytest.raises(InvalidBoxError, match="lies outside the 100 x 80 image"):
        Box(100, 0, 120, 20).expanded_window(100, 80)
