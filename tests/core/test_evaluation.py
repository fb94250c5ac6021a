from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_jaccard_index

from boxmask_core.errors import InvalidMaskError
from boxmask_core.evaluation import ConfusionMatrix


def labels(*rows: list[int]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.array(rows, dtype=np.uint8)


def test_a_perfect_prediction_scores_one_for_every_class_of_the_truth() -> None:
    matrix = ConfusionMatrix(3)
    matrix.update(labels([0, 1, 1]), labels([0, 1, 1]))
    assert matrix.iou()[:2].tolist() == [1, 1]
    assert np.isnan(matrix.iou()[2])
    assert matrix.present().tolist() == [True, True, False]
    assert matrix.mean_iou() == 1


def test_one_matrix_over_all_images_and_not_a_mean_of_means() -> None:
    matrix = ConfusionMatrix(2)
    matrix.update(labels([1, 1, 1, 1]), labels([1, 1, 1, 1]))
    matrix.update(labels([0, 0]), labels([1, 0]))
    assert matrix.iou().tolist() == [1 / 2, 4 / 5]
    assert matrix.mean_iou() == pytest.approx(0.65)


def test_void_of_the_truth_is_not_counted() -> None:
    matrix = ConfusionMatrix(2)
    matrix.update(labels([0, 1, 1]), labels([0, 1, 255]))
    assert matrix.iou().tolist() == [1, 1]


def test_void_of_the_prediction_is_wrong() -> None:
    matrix = ConfusionMatrix(2)
    matrix.update(labels([0, 1, 255, 255]), labels([0, 1, 1, 255]))
    assert matrix.iou().tolist() == [1, 1 / 2]
    assert matrix.counts.tolist() == [[1, 0, 0], [0, 1, 1]]


def test_a_class_that_only_the_prediction_has_is_not_in_the_mean_but_costs_the_others() -> None:
    matrix = ConfusionMatrix(3)
    matrix.update(labels([0, 2]), labels([0, 0]))
    assert matrix.iou()[2] == 0
    assert matrix.mean_iou() == 1 / 2


def test_a_mean_over_chosen_classes_leaves_out_what_the_truth_lacks() -> None:
    matrix = ConfusionMatrix(4)
    matrix.update(labels([0, 1, 2]), labels([0, 1, 1]))
    assert matrix.mean_iou([1, 3]) == 1 / 2
    assert np.isnan(matrix.mean_iou([3]))


def test_coverage_is_the_share_of_counted_pixels_that_are_predicted() -> None:
    matrix = ConfusionMatrix(2)
    assert np.isnan(matrix.coverage())
    matrix.update(labels([0, 1, 255, 255]), labels([0, 1, 1, 255]))
    matrix.update(labels([255, 0]), labels([0, 1]))
    assert matrix.coverage() == 3 / 5
    assert matrix.where_predicted().counts.tolist() == [[1, 0, 0], [1, 1, 0]]
    assert matrix.where_predicted().coverage() == 1
    assert matrix.counts.tolist() == [[1, 0, 1], [1, 1, 1]]


@pytest.mark.parametrize(
    ("prediction", "truth", "rule"),
    [
        (labels([0, 1]), labels([0]), "one size"),
        (labels([2]), labels([0]), "prediction of cat-1.*below 2.*got 2"),
        (labels([0]), labels([254]), "truth of cat-1.*got 254"),
    ],
)
def test_maps_that_do_not_fit_are_refused_by_name(
    prediction: np.ndarray[tuple[int, int], np.dtype[np.uint8]],
    truth: np.ndarray[tuple[int, int], np.dtype[np.uint8]],
    rule: str,
) -> None:
    with pytest.raises(InvalidMaskError, match=rule):
        ConfusionMatrix(2).update(prediction, truth, what="cat-1")


@given(st.integers(0, 2**32 - 1))
def test_the_scores_are_those_of_an_independent_count(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.choice([0, 1, 2, 3, 255], (9, 11)).astype(np.uint8)
    prediction = rng.choice([0, 1, 2, 3, 255], (9, 11)).astype(np.uint8)
    matrix = ConfusionMatrix(4)
    matrix.update(prediction, truth)
    for index in range(4):
        true, predicted = (truth == index)[truth != 255], (prediction == index)[truth != 255]
        assert matrix.iou()[index] == pytest.approx((true & predicted).sum() / (true | predicted).sum())


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_scores_are_those_of_an_independent_library(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.choice([0, 1, 2, 255], (9, 11)).astype(np.uint8)
    prediction = rng.integers(0, 5, (9, 11), dtype=np.uint8)
    matrix = ConfusionMatrix(5)
    matrix.update(prediction, truth)
    per_class = multiclass_jaccard_index(
        torch.from_numpy(prediction), torch.from_numpy(truth).long(), 5, average=None, ignore_index=255
    )
    present = matrix.present()
    np.testing.assert_allclose(matrix.iou()[present], per_class.numpy()[present], rtol=1e-6)
    assert matrix.mean_iou() == pytest.approx(per_class.numpy()[present].mean(), rel=1e-6)
