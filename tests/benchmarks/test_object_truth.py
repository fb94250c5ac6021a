"""Objects of one class are told apart by the void line between them, or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.object_truth import true_objects
from boxmask_core.boxes import Window
from boxmask_core.palette import VOID

LEFT, RIGHT = Window(10, 10, 30, 30), Window(26, 10, 60, 30)


def _side_by_side() -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    truth = np.zeros((60, 90), dtype=np.uint8)
    truth[10:30, 10:27] = 1
    truth[10:30, 27:30] = VOID
    truth[10:30, 30:60] = 1
    return truth


def test_neighbours_get_a_mask_each() -> None:
    truth = _side_by_side()
    left, right = true_objects(truth, 1, [LEFT, RIGHT])
    assert left is not None
    assert right is not None
    assert left.mask.sum() == 17 * 20
    assert left.mask[:, :17].all()
    assert not left.known[:, 17:].any(), "the line between them is void"
    assert right.mask.sum() == 30 * 20
    assert right.mask[:, 4:].all()
    assert not right.mask[:, 0].any(), "what is the left one's is known not to be the right one's"
    assert right.known[:, 0].all()


def test_a_part_that_is_cut_off_belongs_to_the_box_that_reaches_for_it() -> None:
    truth = np.zeros((60, 90), dtype=np.uint8)
    truth[10:20, 10:40] = truth[30:40, 10:40] = 1  # one object, something before its middle
    truth[10:40, 50:70] = 1
    split, whole = true_objects(truth, 1, [Window(10, 10, 40, 40), Window(10, 10, 70, 40)])
    assert split is not None
    assert split.mask.sum() == 600
    assert whole is None, "what is left does not fill this box"


def test_other_classes_are_known_not_to_be_the_object() -> None:
    truth = np.zeros((20, 20), dtype=np.uint8)
    truth[5:15, 5:15] = 1
    truth[5:8, 5:15] = 2
    (found,) = true_objects(truth, 1, [Window(5, 5, 15, 15)])
    assert found is not None
    assert found.mask.sum() == 70
    assert found.known.all()


@pytest.mark.parametrize(
    "windows",
    [[Window(0, 0, 20, 20)], [Window(15, 0, 40, 20)], [Window(40, 40, 50, 50)]],
    ids=["too large a part", "cut through", "nothing there"],
)
def test_a_box_without_an_object_that_fits_gets_none(windows: list[Window]) -> None:
    truth = np.zeros((60, 60), dtype=np.uint8)
    truth[5:15, 5:40] = 1
    assert true_objects(truth, 1, windows) == [None]


def test_no_boxes_and_no_objects_are_no_trouble() -> None:
    assert true_objects(_side_by_side(), 1, []) == []
    assert true_objects(np.zeros((9, 9), dtype=np.uint8), 1, [Window(0, 0, 5, 5)]) == [None]
