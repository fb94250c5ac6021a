"""The way to the network and back, against PyTorch's own interpolation."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from boxmask_core import segmentation
from boxmask_core.errors import InvalidRequestError
from boxmask_core.segmentation import (
    PADDING_COLOUR,
    Canvas,
    View,
    canvas_for,
    carry_back,
    checked_scales,
    class_probabilities,
    draw,
    label_map,
    labelled,
    mean_probabilities,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEP, MAX_SIDE, STRIDE = 32, 768, 8
SIZES = [(1, 1), (1, 500), (500, 1), (3, 2000), (32, 32), (768, 512), (500, 375), (769, 33), (1500, 1000)]


@pytest.mark.parametrize(
    ("size", "resized", "padded"),
    [
        ((500, 375), (500, 375), (512, 384)),
        ((512, 384), (512, 384), (512, 384)),
        ((768, 768), (768, 768), (768, 768)),
        ((769, 500), (768, 499), (768, 512)),
        ((6000, 4000), (768, 512), (768, 512)),
        ((4000, 6001), (512, 768), (512, 768)),
        ((1, 1), (1, 1), (32, 32)),
        ((1, 100_000), (1, 768), (32, 768)),
    ],
)
def test_a_larger_image_is_resized_and_every_image_is_padded_to_its_bucket(
    size: tuple[int, int], resized: tuple[int, int], padded: tuple[int, int]
) -> None:
    assert canvas_for(*size, STEP, MAX_SIDE) == Canvas(*size, resized, padded)


def test_a_scale_is_that_of_the_image_and_never_beyond_the_longest_side() -> None:
    assert canvas_for(500, 375, STEP, MAX_SIDE, scale=0.5).resized == (250, 188)
    assert canvas_for(500, 375, STEP, MAX_SIDE, scale=1.25).resized == (625, 469)
    assert canvas_for(500, 375, STEP, MAX_SIDE, scale=2).resized == (768, 576)
    assert canvas_for(1, 3, STEP, MAX_SIDE, scale=0.25).resized == (1, 1)


@pytest.mark.parametrize(
    ("scales", "found"),
    [([], "got 0"), ([1.0] * 9, "got 9"), ([0.2], "got 0.2"), ([1, 4.5], "got 4.5"), ([float("nan")], "nan")],
)
def test_scales_out_of_range_are_refused(scales: list[float], found: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"^scales: expected .*{found}"):
        checked_scales(scales)
    assert checked_scales([0.25, 1, 4]) == (0.25, 1, 4)


@given(width=st.integers(1, 9000), height=st.integers(1, 9000), step=st.sampled_from([8, 16, 32]))
def test_every_canvas_keeps_the_rule(width: int, height: int, step: int) -> None:
    canvas = canvas_for(width, height, step, MAX_SIDE)
    assert max(canvas.resized) == min(max(width, height), MAX_SIDE)
    for shown, padded in zip(canvas.resized, canvas.padded, strict=True):
        assert 0 <= padded - shown < step
        assert padded % step == 0
    factor = min(1, MAX_SIDE / max(width, height))
    for shown, side in zip(canvas.resized, (width, height), strict=True):
        assert abs(shown - side * factor) <= 0.5 + 1e-9 or shown == 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_image_is_drawn_at_the_top_left_and_the_rest_has_the_mean_colour(
    size: tuple[int, int], mirrored: bool
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    canvas = canvas_for(*size, STEP, MAX_SIDE)
    drawn = draw(image, canvas, mirrored=mirrored)
    width, height = canvas.resized
    expected = cv2.resize(image, canvas.resized, interpolation=cv2.INTER_AREA)
    expected = expected[:, ::-1] if mirrored else expected
    np.testing.assert_array_equal(drawn[:height, :width], expected)
    assert drawn.shape == (canvas.padded[1], canvas.padded[0], 3)
    assert (drawn[height:] == PADDING_COLOUR).all()
    assert (drawn[:, width:] == PADDING_COLOUR).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("strip", [1, 5000, segmentation.STRIP])
def test_scores_reach_the_pixels_as_pytorch_interpolates(
    size: tuple[int, int], strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmentation, "STRIP", strip)
    canvas = canvas_for(*size, STEP, MAX_SIDE)
    scores = _scores(canvas)
    carried = _whole(scores, canvas)
    assert carried.dtype == np.float32
    np.testing.assert_allclose(carried, _sampled(scores, canvas), atol=2e-5)
    if canvas.resized == size:
        full = F.interpolate(torch.from_numpy(scores)[None], size=canvas.padded[::-1], mode="bilinear")
        np.testing.assert_allclose(carried, full[0, :, : size[1], : size[0]].numpy(), atol=2e-5)
    elif canvas.resized == canvas.padded:
        full = F.interpolate(torch.from_numpy(scores)[None], size=size[::-1], mode="bilinear")
        np.testing.assert_allclose(carried, full[0].numpy(), atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 120),
    height=st.integers(1, 120),
    step=st.sampled_from([8, 16, 24]),
    max_side=st.sampled_from([48, 96]),
    scale=st.floats(0.25, 4),
)
def test_any_size_at_any_scale_comes_back_as_pytorch_samples_it(
    width: int, height: int, step: int, max_side: int, scale: float
) -> None:
    canvas = canvas_for(width, height, step, max_side, scale=scale)
    scores = _scores(canvas)
    np.testing.assert_allclose(_whole(scores, canvas), _sampled(scores, canvas), atol=2e-5)


def test_planes_of_the_images_own_size_come_back_unchanged() -> None:
    planes = np.random.default_rng(0).normal(size=(3, 37, 53)).astype(np.float32)
    canvas = Canvas(53, 37, (53, 37), (53, 37))
    np.testing.assert_array_equal(_whole(planes, canvas), planes)


@pytest.mark.parametrize("size", SIZES)
def test_label_map_areas_and_means_are_those_of_the_highest_score(size: tuple[int, int]) -> None:
    canvas = canvas_for(*size, STEP, MAX_SIDE)
    scores = _scores(canvas)
    whole = _whole(scores, canvas)
    found = labelled(scores, canvas)
    np.testing.assert_array_equal(found.classes, whole.argmax(axis=0))
    np.testing.assert_array_equal(label_map(scores, canvas), found.classes)
    assert found.classes.dtype == np.uint8
    assert found.areas.sum() == size[0] * size[1]
    best = whole.max(axis=0)
    for index, (area, mean) in enumerate(zip(found.areas, found.means, strict=True)):
        mine = best[found.classes == index]
        assert area == mine.size
        assert mean == pytest.approx(float(mine.mean()) if mine.size else 0.0, abs=1e-5)


def test_of_equal_scores_the_lower_class_wins() -> None:
    scores = np.zeros((3, 4, 4), dtype=np.float32)
    assert not label_map(scores, canvas_for(32, 32, STEP, MAX_SIDE)).any()


def test_one_view_gives_its_softmax_and_more_views_their_mean() -> None:
    small, large = (canvas_for(150, 90, STEP, MAX_SIDE, scale=scale) for scale in (0.75, 1.25))
    views = [View(_scores(small), small), View(_scores(large), large), View(_scores(large), large, True)]
    expected = []
    for view in views:
        carried = torch.from_numpy(_sampled(view.scores, view.canvas))
        expected.append(carried.softmax(dim=0).numpy()[:, :, :: -1 if view.mirrored else 1])
    alone = mean_probabilities(views[:1], (150, 90))
    np.testing.assert_allclose(alone, expected[0], atol=1e-5)
    together = mean_probabilities(views, (150, 90))
    np.testing.assert_allclose(together, np.mean(expected, axis=0), atol=1e-5)
    np.testing.assert_allclose(together.sum(axis=0), 1, atol=1e-5)


def test_huge_scores_do_not_overflow() -> None:
    canvas = canvas_for(32, 32, STEP, MAX_SIDE)
    scores = np.full((2, 4, 4), -1e38, dtype=np.float32)
    scores[1] = 1e38
    np.testing.assert_array_equal(mean_probabilities([View(scores, canvas)], (32, 32))[1], 1)


def test_a_mirrored_view_of_a_mirrored_image_says_the_same() -> None:
    canvas = canvas_for(
        64, 32, STEP, MAX_SIDE
    )  # no padding: the mirrored scores are those of the mirrored image
    scores = _scores(canvas)
    plain = mean_probabilities([View(scores, canvas)], (64, 32))
    mirrored = View(np.ascontiguousarray(scores[:, :, ::-1]), canvas, mirrored=True)
    np.testing.assert_allclose(mean_probabilities([mirrored], (64, 32)), plain, atol=1e-6)


def test_class_probabilities_are_rounded_to_eight_bits() -> None:
    canvas = canvas_for(1500, 1000, STEP, MAX_SIDE)
    probabilities = mean_probabilities([View(_scores(canvas), canvas)], canvas.resized)
    found = class_probabilities(probabilities, canvas.unpadded(), [3, 1])
    whole = _sampled(probabilities, canvas.unpadded())
    assert found.dtype == np.uint8
    assert found.shape == (2, 1000, 1500)
    assert np.abs(found - 255 * whole[[3, 1]]).max() < 0.51


def test_a_photograph_of_24_megapixels_never_holds_a_float_plane_per_class() -> None:
    canvas = canvas_for(6000, 4000, STEP, MAX_SIDE)
    scores = _scores(canvas, classes=8)
    tracemalloc.start()
    try:
        labels = label_map(scores, canvas)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert labels.shape == (4000, 6000)
    assert peak < labels.nbytes + 30e6  # one float plane alone has 96 MB


def _scores(canvas: Canvas, classes: int = 5) -> NDArray[np.float32]:
    shape = classes, canvas.padded[1] // STRIDE, canvas.padded[0] // STRIDE
    return np.random.default_rng(1).normal(0, 2, shape).astype(np.float32)


def _whole(planes: NDArray[np.float32], canvas: Canvas) -> NDArray[np.float32]:
    """All strips, put together; the rows must come without gaps."""
    strips = list(carry_back(planes, canvas))
    assert [rows.start for rows, _ in strips] == [0, *(rows.stop for rows, _ in strips[:-1])]
    assert strips[-1][0].stop == canvas.height
    return np.concatenate([strip for _, strip in strips], axis=1)


def _sampled(planes: NDArray[np.float32], canvas: Canvas) -> NDArray[np.float32]:
    """The same by `grid_sample`, which takes -1 and 1 for the outer edges of the canvas."""
    places = [
        (torch.arange(pixels, dtype=torch.float64) + 0.5) / pixels * (shown / padded) * 2 - 1
        for pixels, shown, padded in zip(
            (canvas.height, canvas.width), canvas.resized[::-1], canvas.padded[::-1], strict=True
        )
    ]
    y, x = torch.meshgrid(*places, indexing="ij")
    grid = torch.stack([x, y], dim=-1)[None]
    source = torch.from_numpy(planes).double()[None]
    out = F.grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return out[0].float().numpy()
