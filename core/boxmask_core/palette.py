"""PNG: label maps as bytes, of 8 bits with VOC's palette, of 16 bits without."""

from __future__ import annotations

import io
import zlib
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image, PngImagePlugin

from boxmask_core.errors import InvalidImageError, InvalidMaskError
from boxmask_core.images import DECODER_ERRORS

if TYPE_CHECKING:
    from numpy.typing import NDArray

LabelArray: TypeAlias = "NDArray[np.uint8] | NDArray[np.uint16]"
"""A label map of either depth."""

BACKGROUND = "background"
"""Name of class index 0."""
VOID = 255
"""Class index of pixels that belong to no class and are not evaluated, in a label map of 8 bits."""
MAX_8_BIT = 254
"""Largest index beside the background's 0 and void in a label map of 8 bits."""
MAX_16_BIT = 65534
"""Likewise of 16 bits, where void is 65535."""
MAX_PIXELS = 1 << 28
"""Pixels of a label map that is decoded: what claims more is not believed."""

_GREY_16_BIT = "I;16"
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


def void_of(labels: LabelArray) -> int:
    """Returns the index that says void in a label map: the largest of its type, 255 or 65535."""
    return int(np.iinfo(labels.dtype).max)


def encode_label_map(labels: LabelArray) -> bytes:
    """Encodes a label map: 8 bits as an indexed PNG with VOC's palette, 16 bits as greyscale.

    Args:
        labels: uint8 or uint16 indices, ``(H, W)``.
    """
    return grey_png(labels) if labels.dtype == np.uint16 else encode_indexed_png(labels)


def encode_indexed_png(labels: LabelArray) -> bytes:
    """Encodes a label map as an 8-bit indexed PNG with VOC's palette.

    Args:
        labels: uint8 indices, ``(H, W)``.

    Raises:
        InvalidMaskError: The indices have 16 bits.
    """
    if labels.dtype != np.uint8:
        raise InvalidMaskError("label map", f"a palette has 8 bits, but the indices are {labels.dtype}")
    height, width = labels.shape
    image = Image.frombytes("P", (width, height), np.ascontiguousarray(labels).tobytes())
    image.putpalette(voc_palette().tobytes())
    return png_bytes(image)


def grey_png(values: LabelArray) -> bytes:
    """Returns a greyscale PNG of 8 or 16 bits, by the array's type.

    Args:
        values: uint8 or uint16, ``(H, W)``.
    """
    return png_bytes(Image.fromarray(values))


def png_bytes(image: Image.Image) -> bytes:
    """Returns an image of flat areas as PNG.

    It is compressed by its runs alone: on label maps of photographs that takes about half the time of zlib's
    default, and the files are of about the same size.
    """
    out = io.BytesIO()
    image.save(out, format="PNG", compress_type=zlib.Z_RLE)
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
    return _decoded(data, what, deep=False).astype(np.uint8, copy=False)


def decode_label_map(data: bytes, *, what: str = "label map") -> LabelArray:
    """Decodes a PNG to its indices: those of a palette, or the values of 8-bit or 16-bit greyscale.

    Args:
        data: PNG bytes.
        what: Name of the image in error messages.

    Returns:
        uint8 or uint16 indices, ``(H, W)``; the largest value of the type is void.

    Raises:
        InvalidImageError: The bytes are no PNG, broken or cut off.
        InvalidMaskError: The PNG holds colours, not indices.
    """
    return _decoded(data, what, deep=True)


def _decoded(data: bytes, what: str, *, deep: bool) -> LabelArray:
    if not data.startswith(_PNG_SIGNATURE):
        raise InvalidImageError(what, "it is not a PNG")
    try:
        # Not Image.open: its size guard is a global of the process, and warns of maps that are merely large.
        with PngImagePlugin.PngImageFile(io.BytesIO(data)) as image:
            _check_header(image, data, what, deep=deep)
            image.load()
            if image.mode == _GREY_16_BIT:
                return np.array(image, dtype=np.uint16)
            return np.array(image, dtype=np.uint8)
    except DECODER_ERRORS as error:
        raise InvalidImageError(what, str(error) or type(error).__name__) from error


def _check_header(image: Image.Image, data: bytes, what: str, *, deep: bool) -> None:
    """Refuses what is no label map before its pixels are decoded."""
    bit_depth = data[24]  # of the IHDR chunk; Pillow stretches greyscale of fewer bits to 0..255
    shallow = image.mode == "P" or (image.mode == "L" and bit_depth == 8)
    if not shallow and not (deep and image.mode == _GREY_16_BIT):
        expected = "indexed or greyscale PNG of 8 or 16 bits" if deep else "8-bit indexed or greyscale PNG"
        problem = f"expected an {expected}, but got {bit_depth}-bit {image.mode}"
        raise InvalidMaskError(what, problem)
    if (pixels := image.width * image.height) > MAX_PIXELS:
        raise InvalidImageError(what, f"it claims {pixels} pixels, more than the {MAX_PIXELS} of a label map")
