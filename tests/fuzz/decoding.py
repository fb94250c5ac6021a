"""Fuzzing the way of encoded images to pixels."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from boxmask_core.images import decode, read_header
from boxmask_core.palette import decode_indexed_png, decode_label_map
from tests.fuzz.built_images import built_images, built_pngs
from tests.fuzz.damage import damaged
from tests.fuzz.samples import whole_images, whole_label_maps
from tests.fuzz.target import Target

MAX_PIXELS = 1_000_000


def _decoded(data: bytes) -> None:
    header = read_header(data)
    pixels = decode(data, max_pixels=MAX_PIXELS)
    assert pixels.shape == (header.height, header.width, 3)
    assert pixels.dtype == np.uint8
    assert 0 < header.height * header.width <= MAX_PIXELS


def _label_map_decoded(data: bytes) -> None:
    deep = decode_label_map(data)
    assert deep.ndim == 2
    assert deep.dtype in (np.uint8, np.uint16)
    labels = decode_indexed_png(data)
    assert labels.dtype == np.uint8
    assert (labels == deep).all()


TARGETS = (
    Target("images, damaged", damaged(whole_images()), _decoded, share=4),
    Target("images, built", built_images, _decoded, share=2),
    Target("images, any bytes", st.binary(max_size=64), _decoded, share=0.5),
    Target("label maps, damaged", damaged(whole_label_maps()), _label_map_decoded),
    Target("label maps, built", built_pngs, _label_map_decoded),
)
