"""Label Studio's encoding of a brush: the "rle-pack" of thi.ng over the RGBA bytes of the whole image.

All four channels of a pixel are 255 or 0, row by row. The stream of bits is the number of bytes (32 bits),
the word size less one (5), four run sizes less one (4 each), then blocks: a bit that says whether one value
is repeated or values follow one by one, the index of a run size (2), the length less one in so many bits,
and the value or values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from boxmask_core.errors import InvalidMaskError
from boxmask_core.formats.cvat_rle import row_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_CHANNELS = 4
_WORD = 8
_RUN_SIZES = (3, 4, 8, 16)
_LONGEST = 1 << _RUN_SIZES[-1]
_ON = 255
_HEADER_BITS = 32 + 5 + 4 * 4


def encode_brush(mask: NDArray[np.bool_]) -> list[int]:
    """Returns the bytes of a brush, as Label Studio's JSON holds them.

    Args:
        mask: bool, ``(H, W)``, the whole image.
    """
    runs = np.array(row_runs(mask), dtype=np.int64) * _CHANNELS
    values = np.where(np.arange(runs.size) % 2 == 1, _ON, 0)
    runs, values = runs[runs > 0], values[runs > 0]
    blocks = -(-runs // _LONGEST)
    lengths = np.full(int(blocks.sum()), _LONGEST, dtype=np.int64)
    lengths[np.cumsum(blocks) - 1] = runs - (blocks - 1) * _LONGEST
    words = np.repeat(values, blocks)
    kind = np.searchsorted([1 << size for size in _RUN_SIZES], lengths)
    sizes = np.array(_RUN_SIZES)[kind]
    codes = (((4 + kind) << sizes) + lengths - 1 << _WORD) + words
    bits = _bits(codes, 3 + sizes + _WORD)
    header = _bits(
        np.array([mask.size * _CHANNELS, _WORD - 1, *(size - 1 for size in _RUN_SIZES)]),
        np.array([32, 5, 4, 4, 4, 4]),
    )
    padding = np.zeros(
        8 - (header.size + bits.size) % 8, dtype=np.uint8
    )  # at least one bit, as the SDK writes
    packed: list[int] = np.packbits(np.concatenate([header, bits, padding])).tolist()
    return packed


def decode_brush(data: Sequence[int], width: int, height: int) -> NDArray[np.bool_]:
    """Decodes the bytes of a brush; a pixel is foreground where its alpha is not 0.

    Args:
        data: As Label Studio's JSON holds them.
        width: Width of the image, pixels.
        height: Height of the image, pixels.

    Returns:
        bool, ``(height, width)``.

    Raises:
        InvalidMaskError: The bytes are malformed, or hold another number of pixels.
    """
    try:
        text = "".join(map(str, np.unpackbits(np.array(data, dtype=np.uint8)).tolist()))
        return _decoded(text, width, height)
    except (ValueError, OverflowError, TypeError) as error:
        raise InvalidMaskError("brush", f"it ends early or holds no bytes: {error}") from error


def _decoded(text: str, width: int, height: int) -> NDArray[np.bool_]:
    total = int(text[:32], 2)
    if total != width * height * _CHANNELS:
        problem = f"it must hold {height} x {width} x {_CHANNELS} values, but got {total}"
        raise InvalidMaskError("brush", problem)
    word = int(text[32:37], 2) + 1
    sizes = [int(text[place : place + 4], 2) + 1 for place in range(37, _HEADER_BITS, 4)]
    out = np.zeros(total, dtype=np.bool_)
    at, done = _HEADER_BITS, 0
    while done < total:
        repeated, size = text[at] == "1" if at < len(text) else False, sizes[int(text[at + 1 : at + 3], 2)]
        at += 3
        end = done + int(text[at : at + size], 2) + 1
        at += size
        if end > total:
            raise InvalidMaskError("brush", f"its runs hold more than the {total} values that it claims")
        for place in (slice(done, end),) if repeated else (slice(i, i + 1) for i in range(done, end)):
            out[place] = int(text[at : at + word], 2) > 0
            at += word
        done = end
    return out.reshape(height, width, _CHANNELS)[:, :, -1].copy()


def _bits(codes: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Returns the bits of numbers one after another, each in its own length, the highest bit first."""
    places = np.arange(int(lengths.max(initial=0)))
    shifts = lengths[:, None] - 1 - places
    bits = ((codes[:, None] >> np.maximum(shifts, 0)) & 1).astype(np.uint8)
    kept: NDArray[np.uint8] = bits[shifts >= 0]
    return kept
