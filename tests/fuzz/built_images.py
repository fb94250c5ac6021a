"""Images put together from arbitrary header fields and arbitrary content, checksums and offsets right."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from tests.fuzz.damage import png_chunk

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_sides = st.one_of(st.integers(1, 40), st.sampled_from((0, 255, 4096, 65535, 1 << 20, (1 << 31) - 1)))
_content = st.one_of(st.binary(max_size=400), st.integers(0, 20_000).map(bytes))

_text = st.binary(max_size=60)

built_pngs = st.builds(
    lambda width, height, depth, colour, interlaced, content, between: (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
        + b"".join(png_chunk(kind, part) for kind, part in between)
        + png_chunk(b"IDAT", zlib.compress(content))
        + png_chunk(b"IEND", b"")
    ),
    _sides,
    _sides,
    st.sampled_from((1, 2, 4, 8, 16)),
    st.sampled_from((0, 2, 3, 4, 6)),
    st.integers(0, 1),
    _content,
    st.lists(
        st.tuples(
            st.sampled_from((b"PLTE", b"tRNS", b"gAMA", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"acTL")),
            st.one_of(_text, _text.map(lambda text: b"a\0\0" + zlib.compress(text))),
        ),
        max_size=3,
    ),
)  # fmt: skip

# The tags that decide how the pixels are read: sizes, samples, compression, strips, tiles, orientation.
_TIFF_TAGS = (
    254,
    256,
    257,
    258,
    259,
    262,
    266,
    273,
    274,
    277,
    278,
    279,
    284,
    317,
    320,
    322,
    323,
    324,
    325,
    338,
    339,
)
_TIFF_NUMBERS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 24, 32, 64, 4096, 32773, 32946, 65535, 1 << 20, (1 << 32) - 1)


def _tiff(fields: dict[int, tuple[int, int, int]], content: bytes, little: bool) -> bytes:
    order = "<" if little else ">"
    start = 8 + 2 + 12 * len(fields) + 4
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, kind, count)
        # The strips lie behind the directory, or nothing would ever be read from them.
        + (struct.pack(f"{order}I", start) if tag in (273, 324) else _tiff_value(order, kind, value))
        for tag, (kind, count, value) in sorted(fields.items())
    )
    head = (b"II" if little else b"MM") + struct.pack(f"{order}HI", 42, 8)
    return head + struct.pack(f"{order}H", len(fields)) + entries + bytes(4) + content


def _tiff_value(order: str, kind: int, value: int) -> bytes:
    if kind == 3:
        return struct.pack(f"{order}HH", value & 0xFFFF, 0)
    return struct.pack(f"{order}I", value & 0xFFFFFFFF)


_plain_tiff = {
    256: (4, 1, 8), 257: (4, 1, 8), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 0),
    277: (3, 1, 1), 278: (4, 1, 8), 279: (4, 1, 64),
}  # fmt: skip
_tiffs = st.builds(
    lambda changes, content, little: _tiff(_plain_tiff | changes, content, little),
    st.dictionaries(
        st.sampled_from(_TIFF_TAGS),
        st.tuples(
            st.sampled_from((1, 2, 3, 4, 5, 12)),
            st.sampled_from((0, 1, 1, 1, 2, 3, 4, 1 << 31)),
            st.sampled_from(_TIFF_NUMBERS),
        ),
        max_size=6,
    ),
    _content,
    st.booleans(),
)

_bmps = st.builds(
    lambda size, width, height, planes, bits, compression, colours, offset, content: (
        b"BM"
        + struct.pack("<IHHI", 0, 0, 0, offset)
        + struct.pack("<IiiHHIIiiII", size, width, height, planes, bits, compression, 0, 0, 0, colours, 0)
        + content
    ),
    st.sampled_from((12, 16, 40, 40, 40, 52, 56, 64, 108, 124, 0xFFFF)),
    st.one_of(st.integers(-40, 40), st.sampled_from((65535, (1 << 31) - 1, -(1 << 31)))),
    st.one_of(st.integers(-40, 40), st.sampled_from((65535, (1 << 31) - 1, -(1 << 31)))),
    st.integers(0, 2),
    st.sampled_from((0, 1, 4, 8, 16, 24, 32, 48)),
    st.integers(0, 6),
    st.sampled_from((0, 1, 2, 16, 256, 257, 1 << 20, (1 << 32) - 1)),
    st.one_of(st.integers(0, 200), st.just(54), st.just((1 << 32) - 1)),
    _content,
)

built_images: SearchStrategy[bytes] = st.one_of(built_pngs, _tiffs, _bmps)
"""PNG, TIFF and BMP."""
