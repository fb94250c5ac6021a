"""Encoded image bytes to RGB pixels, upright, with the size checked before a pixel is decoded."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import (
    BmpImagePlugin,
    ExifTags,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from boxmask_core.errors import ImageTooLargeError, InvalidImageError
from boxmask_core.jpeg_scans import MAX_SCANS, has_too_many_scans

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from PIL.ImageFile import ImageFile

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""File name suffixes of the formats that `decode` takes, in lower case."""

# Pillow's plugins are called by signature, not through Image.open: its size guard is a global of the process,
# and warns or raises by limits of its own before the caller's limit could answer.
_SIGNATURES: Mapping[bytes, type[ImageFile]] = {
    b"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    b"RIFF": WebPImagePlugin.WebPImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
    b"II*\0": TiffImagePlugin.TiffImageFile,
    b"MM\0*": TiffImagePlugin.TiffImageFile,
    b"II+\0": TiffImagePlugin.TiffImageFile,
    b"MM\0+": TiffImagePlugin.TiffImageFile,
}

DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    EOFError,
    ArithmeticError,
    RuntimeError,
    AssertionError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow's decoders raise on broken bytes."""

# EXIF orientation (TIFF 6.0, tag 274) to the transposition that sets the image upright.
_UPRIGHT: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES = frozenset({5, 6, 7, 8})

_ROWS = 256


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the header says of an image.

    Attributes:
        width: Width after EXIF orientation, pixels.
        height: Height after EXIF orientation, pixels.
        format: "JPEG", "PNG", "WEBP", "BMP" or "TIFF".
        mode: Pillow's name of the pixel layout, for example "RGB", "L", "I;16".
        orientation: EXIF orientation, 1 to 8, that turns the stored pixels upright; 1 where they are.
        several_frames: Whether the file holds an animation or several pages, of which `decode` takes the
            first.
    """

    width: int
    height: int
    format: str
    mode: str
    orientation: int = 1
    several_frames: bool = False

    @property
    def transposed(self) -> bool:
        """Whether orientation swaps the sides that are stored in the file."""
        return self.orientation in _SWAPS_SIDES


def read_header(data: bytes, *, what: str = "image") -> ImageHeader:
    """Reads size and layout without decoding pixels.

    Args:
        data: JPEG, PNG, WebP, BMP or TIFF bytes.
        what: Name of the image in error messages.

    Raises:
        InvalidImageError: The bytes are of no known format, or their header is broken.
    """
    image = _open(data, what)
    return _header(image, _orientation(image))


def decode(data: bytes, *, max_pixels: int | None = None, what: str = "image") -> NDArray[np.uint8]:
    """Decodes an image, sets it upright by its EXIF orientation and converts it to RGB.

    Greyscale is repeated, 16-bit samples are scaled to 8, alpha is laid over white, and of an animation or a
    multi-page file the first frame is taken.

    Args:
        data: JPEG, PNG, WebP, BMP or TIFF bytes.
        max_pixels: Largest number of pixels to decode; checked on the header.
        what: Name of the image in error messages.

    Returns:
        uint8 RGB, ``(H, W, 3)``, C-contiguous and writable.

    Raises:
        ImageTooLargeError: The header announces more than ``max_pixels``.
        InvalidImageError: The bytes are of no known format, broken or cut off.
    """
    image = _open(data, what)
    orientation = _orientation(image)
    header = _header(image, orientation)
    pixels = header.width * header.height
    if max_pixels is not None and pixels > max_pixels:
        raise ImageTooLargeError("pixels", pixels, max_pixels)
    try:
        image.load()
        rgb = _rgb(image, what)
    except DECODER_ERRORS as error:
        raise InvalidImageError(what, str(error) or type(error).__name__) from error
    if orientation in _UPRIGHT and not _turns_itself(image):
        rgb = rgb.transpose(_UPRIGHT[orientation])
    return _pixels(rgb)


def _open(data: bytes, what: str) -> ImageFile:
    plugin = next((plugin for signature, plugin in _SIGNATURES.items() if data.startswith(signature)), None)
    if plugin is None:
        raise InvalidImageError(
            what, "its first bytes are of no known image format" if data else "it is empty"
        )
    if plugin is JpegImagePlugin.JpegImageFile and has_too_many_scans(data):
        raise InvalidImageError(what, f"it has more than {MAX_SCANS} scans, which no encoder writes")
    try:
        return plugin(io.BytesIO(data))
    except DECODER_ERRORS as error:
        raise InvalidImageError(what, str(error) or type(error).__name__) from error


def _orientation(image: ImageFile) -> int:
    """Returns the EXIF orientation; 1 is upright."""
    try:
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            orientation = int(image.tag_v2.get(ExifTags.Base.Orientation, 1))
        else:
            # Not image.getexif(): of a PNG without EXIF that decodes the pixels to look behind them.
            orientation = int(Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1))
    except DECODER_ERRORS:
        return 1  # EXIF that cannot be read says nothing of the orientation; the pixels may be whole
    return orientation if orientation in _UPRIGHT else 1


def _turns_itself(image: ImageFile) -> bool:
    """Says whether Pillow sets the image upright by itself, its size included: it does so for TIFF alone."""
    return isinstance(image, TiffImagePlugin.TiffImageFile)


def _header(image: ImageFile, orientation: int) -> ImageHeader:
    width, height = image.size
    if orientation in _SWAPS_SIDES and not _turns_itself(image):
        width, height = height, width
    return ImageHeader(
        width, height, str(image.format), image.mode, orientation, several_frames=_has_several_frames(image)
    )


def _has_several_frames(image: ImageFile) -> bool:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # Not image.is_animated: that walks through all pages, as many as the file claims.
        return bool(image.tag_v2.next)
    return bool(getattr(image, "is_animated", False))


def _rgb(image: Image.Image, what: str) -> Image.Image:
    if image.mode.startswith("I;16"):
        samples = np.asarray(image, dtype=np.uint32)
        return Image.fromarray(((samples + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in {"I", "F"}:
        raise InvalidImageError(what, "32-bit samples have no agreed range, convert them to 8 or 16 bits")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _pixels(rgb: Image.Image) -> NDArray[np.uint8]:
    """Copies the pixels out, some rows at a time: at once, Pillow would hold all of them twice more."""
    out = np.empty((rgb.height, rgb.width, 3), dtype=np.uint8)
    for top in range(0, rgb.height, _ROWS):
        bottom = min(top + _ROWS, rgb.height)
        out[top:bottom] = np.asarray(rgb.crop((0, top, rgb.width, bottom)))
    return out
