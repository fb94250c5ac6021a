"""COCO's compressed run-length encoding of one mask.

Runs go down the columns, the first is background; a run is stored as its difference to the run before the
last, in chunks of five bits (cocoapi, ``common/maskApi.c``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pycocotools import mask as coco_mask

from boxmask_core.errors import InvalidMaskError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIRST_CHARACTER = 48
_MORE = 0x20
_SIGN = 0x10
_CHUNK = 0x1F
_MAX_CHUNKS = 7  # 35 bits: more than any run of an image that fits in memory


def encode_rle(mask: NDArray[np.bool_]) -> bytes:
    """Returns the compressed ``counts`` of a bool mask, ``(H, W)``."""
    counts = coco_mask.encode(np.asfortranarray(mask).view(np.uint8))["counts"]
    return counts if isinstance(counts, bytes) else counts.encode("ascii")


def decode_rle(counts: bytes, height: int, width: int) -> NDArray[np.bool_]:
    """Decodes compressed ``counts`` and checks them against the size.

    pycocotools does not check: counts that do not fit make it read or write beyond its buffers.

    Args:
        counts: As COCO stores them, in ASCII.
        height: Height of the mask, pixels.
        width: Width of the mask, pixels.

    Returns:
        bool, ``(height, width)``, C-contiguous.

    Raises:
        InvalidMaskError: The counts are malformed, or do not sum to ``height * width``.
    """
    runs = _runs(counts)
    if (runs < 0).any():
        raise InvalidMaskError("RLE", f"run lengths must not be negative, but got {int(runs.min())}")
    total = sum(runs.tolist())
    if total != height * width:
        raise InvalidMaskError("RLE", f"its runs must sum to {height} x {width} pixels, but got {total}")
    values = np.arange(runs.size) % 2 == 1
    return np.ascontiguousarray(np.repeat(values, runs).reshape(width, height).T)


def _runs(counts: bytes) -> NDArray[np.int64]:
    chunks = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - _FIRST_CHARACTER
    if chunks.size == 0:
        return chunks
    if chunks.min() < 0 or chunks.max() > (_MORE | _CHUNK):
        raise InvalidMaskError("RLE", "its characters must lie between '0' and 'o'")
    last = np.flatnonzero((chunks & _MORE) == 0)
    if last.size == 0 or last[-1] != chunks.size - 1:
        raise InvalidMaskError("RLE", "it ends within a run")
    first = np.concatenate(([0], last[:-1] + 1))
    lengths = last - first + 1
    if lengths.max() > _MAX_CHUNKS:
        raise InvalidMaskError("RLE", f"a run has {int(lengths.max())} characters, more than any image needs")
    shifts = 5 * (np.arange(chunks.size) - np.repeat(first, lengths))
    runs = np.add.reduceat((chunks & _CHUNK) << shifts, first)
    runs -= np.where(chunks[last] & _SIGN, np.int64(1) << (5 * lengths), 0)
    # From the fourth run on, each is stored as the difference to the run before the last.
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs
