"""Damages bytes: blindly, and so that the damage lies behind checksums."""

from __future__ import annotations

import struct
import zlib
from functools import reduce
from typing import TYPE_CHECKING

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hypothesis.strategies import SearchStrategy

Damage = tuple[str, int, bytes]
"""What is done, where (modulo the length), and with which bytes."""

_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER = 200
_EDGES = (0, 1, 2, 7, 8, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Numbers that size fields break at."""

_numbers = st.builds(
    lambda number, layout: struct.pack(layout, number & (0xFFFF if layout[1] == "H" else 0xFFFFFFFF)),
    st.sampled_from(_EDGES),
    st.sampled_from(("<H", ">H", "<I", ">I")),
)
_places = st.one_of(st.integers(0, _HEADER), st.integers(0, 1 << 20))
_kinds = st.sampled_from(("set", "insert", "cut", "truncate", "repeat"))
damages: SearchStrategy[Damage] = st.tuples(
    _kinds, _places, st.one_of(st.binary(min_size=1, max_size=4), _numbers)
)
"""Any of them."""


def damaged(whole: Sequence[bytes]) -> SearchStrategy[bytes]:
    """Gives whole bytes with up to six damages; PNG's checksums are mended, more often than not."""
    return st.builds(_apply, st.sampled_from(whole), st.lists(damages, max_size=6), st.integers(0, 2))


def _apply(data: bytes, damages: list[Damage], mend: int) -> bytes:
    worn = reduce(apply_damage, damages, data)
    return with_png_checksums(worn) if mend else worn


def apply_damage(data: bytes, damage: Damage) -> bytes:
    """Returns the bytes with the damage."""
    kind, place, value = damage
    return _KINDS[kind](data, place % (len(data) or 1), value)


_KINDS: dict[str, Callable[[bytes, int, bytes], bytes]] = {
    "set": lambda data, place, value: data[:place] + value + data[place + len(value) :],
    "insert": lambda data, place, value: data[:place] + value + data[place:],
    "cut": lambda data, place, value: data[:place] + data[place + value[0] :],
    "truncate": lambda data, place, _: data[:place],
    "repeat": lambda data, place, value: data[: place + value[0]] + data[place:],
}


def with_png_checksums(data: bytes) -> bytes:
    """Returns a PNG with the checksum that each chunk ought to have; other bytes as they are."""
    if not data.startswith(_PNG):
        return data
    out, place = bytearray(_PNG), len(_PNG)
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        end = place + 8 + length
        if end + 4 > len(data):
            break
        out += png_chunk(data[place + 4 : place + 8], data[place + 8 : end])
        place = end + 4
    return bytes(out + data[place:])


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Returns a chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
