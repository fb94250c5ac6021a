from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from boxmask_core.errors import InvalidImageError, InvalidMaskError
from boxmask_core.palette import (
    decode_indexed_png,
    decode_label_map,
    encode_indexed_png,
    encode_label_map,
    voc_palette,
    void_of,
)


def as_png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, format="PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("index", "colour"),
    [
        pytest.param(0, (0, 0, 0), id="background"),
        pytest.param(1, (128, 0, 0), id="aeroplane"),
        pytest.param(2, (0, 128, 0), id="bicycle"),
        pytest.param(8, (64, 0, 0), id="cat"),
        pytest.param(15, (192, 128, 128), id="person"),
        pytest.param(20, (0, 64, 128), id="tvmonitor"),
        pytest.param(255, (224, 224, 192), id="void"),
    ],
)
def test_the_palette_is_vocs(index: int, colour: tuple[int, int, int]) -> None:
    assert tuple(voc_palette()[index]) == colour


def test_the_palette_cannot_be_changed_by_a_caller() -> None:
    with pytest.raises(ValueError, match="read-only"):
        voc_palette()[0] = 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 256), (33, 7)])
def test_indices_survive_the_round_trip(shape: tuple[int, int], rng: np.random.Generator) -> None:
    labels = rng.integers(0, 256, shape).astype(np.uint8)
    assert (decode_indexed_png(encode_indexed_png(labels)) == labels).all()


def test_the_file_is_indexed_and_coloured() -> None:
    data = encode_indexed_png(np.array([[0, 1, 255]], dtype=np.uint8))
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "P"
        assert np.asarray(image.convert("RGB")).tolist() == [[[0, 0, 0], [128, 0, 0], [224, 224, 192]]]


def test_a_foreign_palette_does_not_matter() -> None:
    image = Image.fromarray(np.array([[2, 0, 1]], dtype=np.uint8))
    image.putpalette([9, 9, 9] * 3)
    assert image.mode == "P"
    assert decode_indexed_png(as_png(image)).tolist() == [[2, 0, 1]]


def test_eight_bit_greyscale_is_taken_as_indices() -> None:
    assert decode_indexed_png(as_png(Image.fromarray(np.array([[3, 255]], dtype=np.uint8)))).tolist() == [
        [3, 255]
    ]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16", "1", "LA"])
def test_colours_and_other_depths_are_refused(mode: str) -> None:
    with pytest.raises(InvalidMaskError, match=r"a\.png is not valid: expected an 8-bit indexed"):
        decode_indexed_png(as_png(Image.new(mode, (2, 2))), what="a.png")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (33, 7)])
def test_label_maps_of_either_depth_survive_the_round_trip(
    shape: tuple[int, int], dtype: type[np.uint8 | np.uint16], rng: np.random.Generator
) -> None:
    labels: Any = rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    data = encode_label_map(labels)
    found = decode_label_map(data)
    assert found.dtype == dtype
    assert (found == labels).all()
    assert void_of(found) == {np.uint8: 255, np.uint16: 65535}[dtype]
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == {np.uint8: "P", np.uint16: "I;16"}[dtype]


def test_sixteen_bits_have_no_palette() -> None:
    with pytest.raises(InvalidMaskError, match="a palette has 8 bits, but the indices are uint16"):
        encode_indexed_png(np.zeros((2, 2), dtype=np.uint16))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "1", "LA"])
def test_colours_are_no_label_map(mode: str) -> None:
    with pytest.raises(InvalidMaskError, match="expected an indexed or greyscale PNG of 8 or 16 bits"):
        decode_label_map(as_png(Image.new(mode, (2, 2))), what="a.png")


@pytest.mark.parametrize("cut", [0, 4, 20, 60])
def test_broken_bytes_are_refused(cut: int) -> None:
    data = encode_indexed_png(np.zeros((40, 40), dtype=np.uint8))
    with pytest.raises(InvalidImageError, match="map"):
        decode_indexed_png(data[:cut], what="map")


@pytest.mark.parametrize(("side", "problem"), [(1 << 30, "it claims"), (10_000, "truncated")])
def test_a_map_that_claims_more_pixels_than_it_has_is_refused(side: int, problem: str) -> None:
    data = encode_indexed_png(np.zeros((4, 4), dtype=np.uint8))
    header = data[12:16] + struct.pack(">II", side, side) + data[24:29]
    claiming = data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]
    with pytest.raises(InvalidImageError, match=problem):
        decode_indexed_png(claiming, what="map")
