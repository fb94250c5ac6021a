from __future__ import annotations

import numpy as np
import pytest

from boxmask_core.errors import InvalidMaskError
from boxmask_core.formats.brush_rle import decode_brush, encode_brush
from boxmask_core.formats.cvat_rle import pixels_of_runs, row_runs

RING = np.pad(np.zeros((3, 3), dtype=np.bool_), 2, constant_values=True)
"""7 x 7, with a hole of 3 x 3."""

CVAT_RING = [0, 16, 3, 4, 3, 4, 3, 16]
"""The runs of RING, made with encode_mask of cvat-sdk 2.80.0."""

BRUSH_RING = [
    0, 0, 3, 192, 57, 27, 254, 247, 0, 195, 127, 248, 204, 3, 13, 255, 227, 48, 9, 255, 237, 128, 79, 255,
    140, 192, 39, 255, 182, 1, 63, 254, 51, 0, 159, 254, 216, 4, 255, 248, 204, 3, 13, 255, 227, 48, 12, 55,
    255, 178, 192, 0,
]  # fmt: skip
"""RING in an image of 20 x 12 at 2, 3, made with mask2rle of label-studio-sdk 2.1.2."""


def brush(count: int, blocks: str) -> list[int]:
    """Packs the header of a brush of ``count`` bytes, and bits."""
    text = f"{count:032b}" + f"{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16)) + blocks
    return [int(text[place : place + 8].ljust(8, "0"), 2) for place in range(0, len(text), 8)]


def placed_ring() -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    mask = np.zeros((12, 20), dtype=np.bool_)
    mask[3:10, 2:9] = RING
    return mask


def test_cvat_runs_are_those_of_cvats_own_codec() -> None:
    assert row_runs(RING) == CVAT_RING
    assert (pixels_of_runs(CVAT_RING, 7, 7) == RING).all()


def test_the_brush_is_that_of_label_studios_own_codec() -> None:
    assert encode_brush(placed_ring()) == BRUSH_RING
    assert (decode_brush(BRUSH_RING, 20, 12) == placed_ring()).all()


def test_every_mask_comes_back_from_both_codecs(rng: np.random.Generator) -> None:
    for _ in range(60):
        height, width = (int(side) for side in rng.integers(1, 30, 2))
        mask = rng.random((height, width)) < rng.random()
        assert (pixels_of_runs(row_runs(mask), width, height) == mask).all()
        assert (decode_brush(encode_brush(mask), width, height) == mask).all()


@pytest.mark.parametrize("value", [False, True])
def test_a_run_longer_than_the_largest_size_is_cut(value: bool) -> None:
    mask = np.full((150, 333), value)
    assert (decode_brush(encode_brush(mask), 333, 150) == mask).all()


def test_values_one_by_one_are_decoded_as_well() -> None:
    literal = "0" + "01" + f"{7:04b}" + f"{255:08b}" * 4 + f"{0:08b}" * 4
    assert decode_brush(brush(8, literal), 2, 1).tolist() == [[True, False]]


@pytest.mark.parametrize(
    "data",
    [[], BRUSH_RING[:12], BRUSH_RING[:-20], [*BRUSH_RING[:3], 0], [0, 0, 0, 4, *BRUSH_RING[4:]], [-1], ["x"]],
)
def test_a_broken_brush_is_refused(data: list[int]) -> None:
    with pytest.raises(InvalidMaskError):
        decode_brush(data, 20, 12)


def test_a_run_beyond_the_end_of_a_brush_is_refused() -> None:
    text = (
        f"{4:032b}" + f"{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16)) + "100111" + "0" * 8
    )
    data = [int(text[place : place + 8].ljust(8, "0"), 2) for place in range(0, len(text), 8)]
    with pytest.raises(InvalidMaskError, match="more than the 4 values that it claims"):
        decode_brush(data, 1, 1)


@pytest.mark.parametrize(
    ("runs", "width", "height"), [([], 1, 1), ([3, -1, 2], 2, 2), ([1, 2], 2, 2), ([0], 0, 0)]
)
def test_runs_that_do_not_fit_are_refused(runs: list[int], width: int, height: int) -> None:
    with pytest.raises(InvalidMaskError, match="must be positive and sum to"):
        pixels_of_runs(runs, width, height)
