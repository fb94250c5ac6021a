from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage

from boxmask_core.boundary import DILATION_RATIO, BoundaryIou, band_width, boundary_band, trimap
from boxmask_core.errors import InvalidInputError, InvalidMaskError
from boxmask_core.palette import VOID

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = NDArray[np.uint8]

CLASSES = 4
ARBITRARY = st.sampled_from([0, 1, 2, 3, VOID])


@st.composite
def label_maps(draw: st.DrawFn, count: int = 1, *, largest: int = 24) -> tuple[Labels, ...]:
    """Maps of one size, made of blocks so that bands have an inside; some of single pixels."""
    shape = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    block = draw(st.sampled_from([1, 3, 8]))
    blocks = npst.arrays(np.uint8, tuple(-(-side // block) for side in shape), elements=ARBITRARY)
    enlarge = np.ones((block, block), dtype=np.uint8)
    return tuple(np.kron(draw(blocks), enlarge)[: shape[0], : shape[1]] for _ in range(count))


def of(prediction: Labels, truth: Labels, *, ratio: float = DILATION_RATIO) -> BoundaryIou:
    measure = BoundaryIou(CLASSES, ratio)
    measure.update(prediction, truth)
    return measure


def square(side: int, *, at: int, size: int = 40) -> Labels:
    labels = np.zeros((size, size), dtype=np.uint8)
    labels[at : at + side, at : at + side] = 1
    return labels


def reference_band(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Whoever is within `width` of the outside, by distances; the image lies in a frame of outside."""
    distance = ndimage.distance_transform_cdt(np.pad(mask, 1), metric="chessboard")[1:-1, 1:-1]
    return np.asarray(mask & (distance <= width))


@settings(deadline=None)
@given(label_maps(), st.floats(0.001, 0.6))
def test_the_band_is_that_of_an_independent_library(maps: tuple[Labels], ratio: float) -> None:
    mask = maps[0] == 1
    encoded: Any = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    expected = coco_mask.decode(coco_mask.rleToBoundary(encoded, ratio, backend="opencv"))
    assert (boundary_band(mask, band_width(mask.shape, ratio)) == expected).all()


@settings(deadline=None)
@given(label_maps(), st.integers(1, 30))
def test_the_band_is_what_lies_within_its_width_of_the_outside(maps: tuple[Labels], width: int) -> None:
    mask = maps[0] == 1
    assert (boundary_band(mask, width) == reference_band(mask, width)).all()


def test_bands_are_two_percent_of_the_diagonal_wide_and_never_without_width() -> None:
    assert band_width((300, 400)) == 10
    assert band_width((1, 1)) == 1
    assert band_width((300, 400), ratio=0.005) == 2


@settings(deadline=None)
@given(label_maps(count=4), st.floats(0.01, 0.2))
def test_intersections_and_unions_are_summed_over_images_without_void(
    maps: tuple[Labels, Labels, Labels, Labels], ratio: float
) -> None:
    pairs = maps[:2], maps[2:]
    measure = BoundaryIou(CLASSES, ratio)
    for prediction, truth in pairs:
        measure.update(prediction, truth)
    for label in range(CLASSES):
        intersection = union = 0
        for prediction, truth in pairs:
            width = max(1, round(ratio * float(np.hypot(*truth.shape))))
            predicted = reference_band((prediction == label) & (truth != VOID), width)
            true = reference_band(truth == label, width)
            intersection += int((predicted & true).sum())
            union += int((predicted | true).sum())
        expected = intersection / union if union else np.nan
        np.testing.assert_equal(measure.iou()[label], expected)


def test_a_shift_costs_the_outline_more_than_the_area() -> None:
    truth, shifted = square(20, at=10), square(20, at=12)
    # 20 x 20 moved by 2 both ways keeps 18 x 18; its band is 1 wide, so of 76 pixels 2 crossings are shared.
    assert of(shifted, truth).iou()[1] == pytest.approx(2 / (76 + 76 - 2))


@given(label_maps(count=2))
def test_what_is_predicted_where_the_truth_is_void_is_of_no_consequence(maps: tuple[Labels, Labels]) -> None:
    prediction, truth = maps
    perfect = np.where(truth == VOID, prediction, truth)
    measure = of(perfect, truth)
    assert (measure.iou()[measure.present()] == 1).all()
    assert measure.present().tolist() == [bool((truth == label).any()) for label in range(CLASSES)]


def test_an_object_one_pixel_wide_is_all_outline() -> None:
    truth = np.zeros((9, 9), dtype=np.uint8)
    truth[:, 4] = 1
    half = truth.copy()
    half[:3] = 0
    assert of(half, truth).iou()[1] == pytest.approx(6 / 9)


def test_the_border_of_the_image_is_an_outline() -> None:
    truth = np.ones((50, 50), dtype=np.uint8)
    assert boundary_band(truth == 1, 2).sum() == 50**2 - 46**2
    hole_within = truth.copy()
    hole_within[20:30, 20:30] = 0
    outline_within = 12**2 - 10**2
    assert of(hole_within, truth).iou()[1] == pytest.approx(196 / (196 + outline_within))


def test_without_a_pixel_of_a_class_or_of_any_there_is_no_value() -> None:
    pixel = np.ones((1, 1), dtype=np.uint8)
    assert of(pixel, pixel).iou()[1] == 1
    assert np.isnan(of(pixel, pixel).iou()[[0, 2, 3]]).all()
    nothing = of(pixel, np.full((1, 1), VOID, dtype=np.uint8))
    assert np.isnan(nothing.iou()).all()
    assert np.isnan(nothing.mean_iou())


def test_the_mean_is_over_classes_of_the_truth_and_invented_ones_cost_the_others() -> None:
    truth, invented = square(20, at=10), square(20, at=10)
    invented[:4] = 2
    measure = of(invented, truth)
    assert measure.iou()[1:3].tolist() == [1, 0]
    assert measure.mean_iou() == pytest.approx((measure.iou()[0] + 1) / 2)
    assert measure.iou()[0] < 1
    assert measure.mean_iou([1, 2, 3]) == 1


def test_void_in_a_prediction_is_wrong() -> None:
    truth = square(20, at=10)
    assert of(np.full_like(truth, VOID), truth).iou()[:2].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("prediction", "truth", "rule"),
    [
        (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), "one size"),
        (np.full((2, 2), 4, np.uint8), np.zeros((2, 2), np.uint8), "prediction of label map.*below 4"),
        (np.zeros((2, 2), np.uint8), np.full((2, 2), 254, np.uint8), "truth of label map.*got 254"),
    ],
)
def test_maps_that_do_not_fit_are_refused(prediction: Labels, truth: Labels, rule: str) -> None:
    with pytest.raises(InvalidMaskError, match=rule):
        of(prediction, truth)


@settings(deadline=None)
@given(label_maps(), st.integers(1, 30))
def test_a_trimap_keeps_what_has_another_label_within_its_width(maps: tuple[Labels], width: int) -> None:
    truth = maps[0]
    expected = np.full_like(truth, VOID)
    for row, column in np.ndindex(*truth.shape):
        top, left = max(0, row - width), max(0, column - width)
        around = truth[top : row + width + 1, left : column + width + 1]
        if (around != truth[row, column]).any():
            expected[row, column] = truth[row, column]
    assert (trimap(truth, width) == expected).all()


def test_a_rim_of_void_is_an_outline_as_for_deeplab() -> None:
    truth = square(20, at=10)
    rim = boundary_band(truth == 1, 2)
    truth[rim] = VOID
    kept = trimap(truth, 3) != VOID
    dilated = ndimage.binary_dilation(truth == VOID, np.ones((3, 3)), iterations=3)
    assert (kept == (dilated & (truth != VOID))).all()


def test_a_trimap_of_one_label_is_empty_for_the_border_of_the_image_is_no_outline() -> None:
    assert (trimap(np.ones((9, 9), dtype=np.uint8), 5) == VOID).all()
    assert (trimap(np.full((1, 1), VOID, dtype=np.uint8), 1) == VOID).all()


def test_a_trimap_wider_than_the_image_is_the_truth() -> None:
    assert (trimap(square(20, at=10), 10**9) == square(20, at=10)).all()


@pytest.mark.parametrize("width", [0, -3])
def test_a_trimap_without_width_is_refused(width: int) -> None:
    with pytest.raises(InvalidInputError, match=f"at least 1 pixel wide, but got {width}"):
        trimap(square(20, at=10), width)
