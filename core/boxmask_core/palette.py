"""Indexed PNG: label maps as bytes, with VOC's palette."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, PngImagePlugin

from boxmask_core.errors import InvalidImageError, InvalidMaskError
from boxmask_core.images import DECODER_ERRORS

if TYPE_CHECKING:
    from numpy.typing import NDArray

BACKGROUND = "background"
"""Name of class index 0."""
VOID = 255
"""Class index of pixels that belong to no class and are not evaluated."""
MAX_PIXELS = 1 << 28
"""Pixels of a label map that is decoded: what claims more is not believed."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@cache
def voc_palette() -> NDArray[np.uint8]:
    """Returns VOC's palette, uint8 RGB, ``(256, 3)``, read-only.

    The bits of the index are dealt out in turn to red, green and blue, from the highest bit of each down
    (VOCdevkit, ``VOClabelcolormap.m``).
    """
    index = np.arange(256)
    palette = np.zeros((256, 3), dtype=np.uint8)
    for level in range(8):
        for channel in range(3):
            bit = (index >> (3 * level + channel)) & 1
            palette[:, channel] |= (bit << (7 - level)).astype(np.uint8)
    palette.setflags(write=False)
    return palette


def encode_indexed_png(labels: NDArray[np.uint8]) -> bytes:
    """Encodes a label map as an 8-bit indexed PNG with VOC's palette.

    Args:
        labels: uint8 indices, ``(H, W)``.
    """
    height, width = labels.shape
    image = Image.frombytes("P", (width, height), np.ascontiguousarray(labels, dtype=np.uint8).tobytes())
    image.putpalette(voc_palette().tobytes())
    out = io.BytesIO()
    image.save(out, format="PNG")
    return out.getvalue()


def decode_indexed_png(data: bytes, *, what: str = "label map") -> NDArray[np.uint8]:
    """Decodes a PNG to its indices, whatever its palette; 8-bit greyscale values are taken as indices.

    Args:
        data: PNG bytes.
        what: Name of the image in error messages.

    Returns:
        uint8 indices, ``(H, W)``.

    Raises:
        InvalidImageError: The bytes are no PNG, broken or cut off.
        InvalidMaskError: The PNG holds colours or 16-bit values, not 8-bit indices.
    """
    if not data.startswith(_PNG_SIGNATURE):
        raise InvalidImageError(what, "it is not a PNG")
    try:
        # Not Image.open: its size guard is a global of the process, and warns of maps that are merely large.
        with PngImagePlugin.PngImageFile(io.BytesIO(data)) as image:
            _check_header(image, data, what)
            image.load()
            return np.array(image, dtype=np.uint8)
    except DECODER_ERRORS as error:
        raise InvalidImageError(what, str(error) or type(error).__name__) from error


def _check_header(image: Image.Image, data: bytes, what: str) -> None:
    """Refuses what is no label map before its pixels are decoded."""
    bit_depth = data[24]  # of the IHDR chunk; Pillow stretches greyscale of fewer bits to 0..255
    if image.mode != "P" and not (image.mode == "L" and bit_depth == 8):
        problem = f"expected an 8-bit indexed or greyscale PNG, but got {bit_depth}-bit {image.mode}"
        raise InvalidMaskError(what, problem)
    if (pixels := image.width * image.height) > MAX_PIXELS:
        raise InvalidImageError(what, f"it claims {pixels} pixels, more than the {MAX_PIXELS} of a label map")
