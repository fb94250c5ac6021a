"""Fuzzing the ways of masks to bytes and back, with pycocotools and OpenCV as referees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from boxmask_core.palette import decode_indexed_png, encode_indexed_png
from boxmask_core.polygons import bridged_polygon
from boxmask_core.rle import decode_rle, encode_rle
from tests.fuzz.damage import damaged
from tests.fuzz.target import Target

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy
    from numpy.typing import NDArray

Plane = tuple[int, int, bytes]
"""Height, width, and what its pixels are repeated from."""

_MAX_PIXELS = 1 << 24


def _planes(max_side: int) -> SearchStrategy[Plane]:
    sides = st.integers(1, max_side)
    return st.tuples(sides, sides, st.binary(min_size=1, max_size=200))


def _pixels(plane: Plane) -> NDArray[np.uint8]:
    height, width, content = plane
    return np.resize(np.frombuffer(content, dtype=np.uint8), (height, width))


def _mask(plane: Plane) -> NDArray[np.bool_]:
    return (_pixels(plane) & 1).astype(np.bool_)


def _rle_round_trip(plane: Plane) -> None:
    mask = _mask(plane)
    counts = encode_rle(mask)
    assert (decode_rle(counts, *mask.shape) == mask).all()
    assert (coco_mask.decode({"size": [*mask.shape], "counts": counts}) == mask).all()


def _rle_decoded(question: tuple[bytes, int, int]) -> None:
    counts, height, width = question
    mask = decode_rle(counts, height, width)
    assert mask.shape == (height, width)
    # What we take must be right. It is safe to ask pycocotools, since the sum was checked.
    assert (coco_mask.decode({"size": [height, width], "counts": counts}) == mask).all()


def _label_map_round_trip(plane: Plane) -> None:
    labels = _pixels(plane)
    assert (decode_indexed_png(encode_indexed_png(labels)) == labels).all()


def _polygon_covers(plane: Plane) -> None:
    mask = _mask(plane)
    polygon = bridged_polygon(mask)
    if polygon is None:
        assert not mask.any()
        return
    assert len(polygon.points) >= 3
    assert (polygon.points >= 0).all()
    assert (polygon.points < mask.shape[::-1]).all()
    filled = np.zeros(mask.shape, dtype=np.uint8)
    cv2.fillPoly(filled, [polygon.points], 1)
    assert filled[mask].all()


_whole_counts = tuple(
    encode_rle(_mask((height, width, content)))
    for height, width in ((1, 1), (5, 7), (40, 30))
    for content in (b"\0", b"\1", b"\0\1", b"\0\0\1\1\1\0\1")
)
_sizes = st.one_of(
    st.sampled_from(((1, 1), (5, 7), (40, 30))), st.tuples(st.integers(0, 4096), st.integers(0, 4096))
)
_counts = st.one_of(
    damaged(_whole_counts),
    st.binary(max_size=60),
    st.text(alphabet=[chr(code) for code in range(48, 112)], max_size=60).map(str.encode),
)

TARGETS = (
    Target("run lengths, round trip", _planes(60), _rle_round_trip),
    Target(
        "run lengths, any",
        st.builds(lambda counts, size: (counts, *size), _counts, _sizes),
        _rle_decoded,
        share=2,
    ),
    Target("label maps, round trip", _planes(60), _label_map_round_trip),
    Target("polygons", _planes(16), _polygon_covers),
)
