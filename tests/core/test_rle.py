from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pycocotools import mask as coco_mask

from boxmask_core.errors import InvalidMaskError
from boxmask_core.rle import decode_rle, encode_rle

if TYPE_CHECKING:
    from numpy.typing import NDArray

masks = npst.arrays(np.bool_, npst.array_shapes(min_dims=2, max_dims=2, max_side=40))


@given(masks)
def test_a_mask_survives_the_round_trip(mask: NDArray[np.bool_]) -> None:
    decoded = decode_rle(encode_rle(mask), *mask.shape)
    assert (decoded == mask).all()
    assert decoded.dtype == np.bool_
    assert decoded.flags.c_contiguous


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools under numpy 2
@given(masks)
def test_decoding_agrees_with_pycocotools(mask: NDArray[np.bool_]) -> None:
    counts = encode_rle(mask)
    reference = coco_mask.decode({"size": [*mask.shape], "counts": counts})
    assert (decode_rle(counts, *mask.shape) == reference).all()


def test_runs_go_down_the_columns_and_start_with_background() -> None:
    mask = np.array([[0, 1], [0, 1], [1, 0]], dtype=np.bool_)
    uncompressed = {"size": [3, 2], "counts": [2, 3, 1]}
    reference = coco_mask.frPyObjects(uncompressed, 3, 2)  # type: ignore[call-overload]  # missing in its stubs
    assert encode_rle(mask) == reference["counts"]


def test_long_runs_are_kept_whole() -> None:
    mask = np.zeros((5000, 4000), dtype=np.bool_)
    mask[4999, 3999] = True
    assert (decode_rle(encode_rle(mask), 5000, 4000) == mask).all()


@pytest.mark.parametrize("size", [(4, 6), (6, 4), (5, 6), (5, 4), (0, 0)])
def test_counts_that_do_not_fit_the_size_are_refused(size: tuple[int, int]) -> None:
    counts = encode_rle(np.ones((5, 5), dtype=np.bool_))
    with pytest.raises(InvalidMaskError, match="must sum to"):
        decode_rle(counts, *size)


@pytest.mark.parametrize(
    ("counts", "rule"),
    [
        (b"", "must sum to"),
        (b"9 ", "between"),
        (b"\xff\xff", "between"),
        (b"P", "ends within a run"),
        (b"PPPPPPPPPP0", "10|11 characters"),
        (b"O", "negative"),
    ],
)
def test_malformed_counts_are_refused(counts: bytes, rule: str) -> None:
    with pytest.raises(InvalidMaskError, match=rule):
        decode_rle(counts, 5, 5)


@given(st.binary(max_size=60), st.integers(1, 30), st.integers(1, 30))
def test_any_bytes_give_a_mask_of_the_right_size_or_an_error(counts: bytes, height: int, width: int) -> None:
    try:
        assert decode_rle(counts, height, width).shape == (height, width)
    except InvalidMaskError:
        return
