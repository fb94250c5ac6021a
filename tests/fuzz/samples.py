"""Whole images in every dress that the formats know, small: what damage starts from."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


@cache
def whole_images() -> tuple[bytes, ...]:
    """Returns the images, and a GIF, which must be refused."""
    return tuple(_encoded(image, kind, **options) for image, kind, options in _dresses())


@cache
def whole_label_maps() -> tuple[bytes, ...]:
    """Returns PNGs that hold indices, and some that do not."""
    indices = Image.fromarray((np.arange(24 * 18).reshape(18, 24) % 256).astype(np.uint8))
    palette = indices.copy()
    palette.putpalette(bytes(range(256)) * 3)
    few = Image.fromarray(np.asarray(indices) % 4)
    few.putpalette(bytes(range(12)))
    return (
        _encoded(indices, "PNG"),
        _encoded(palette, "PNG"),
        _encoded(palette, "PNG", transparency=3),
        _encoded(few, "PNG", bits=2),
        _encoded(indices.convert("1"), "PNG"),
        _encoded(indices.convert("RGB"), "PNG"),
        _encoded(Image.fromarray(np.asarray(indices).astype(np.uint16) * 256), "PNG"),
    )


def _dresses() -> Iterator[tuple[Image.Image, str, dict[str, Any]]]:
    rows, columns = np.mgrid[:18, :24]
    rgb = Image.fromarray(np.stack([rows * 14, columns * 10, rows * columns % 256], axis=2).astype(np.uint8))
    grey, alpha = rgb.convert("L"), rgb.convert("RGBA")
    alpha.putalpha(grey)
    deep = Image.fromarray((rows * columns * 100).astype(np.uint16))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.ImageDescription] = "a picture"
    frames: dict[str, Any] = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)]}
    for image in (rgb, grey, rgb.convert("CMYK")):
        yield image, "JPEG", {}
    yield rgb, "JPEG", {"progressive": True, "exif": exif}
    for image in (rgb, grey, alpha, alpha.convert("LA"), rgb.convert("P"), rgb.convert("1"), deep):
        yield image, "PNG", {}
    yield rgb.convert("P"), "PNG", {"transparency": 5, "exif": exif}
    yield rgb, "PNG", {"transparency": (0, 0, 0), "icc_profile": b"profile" * 30, "dpi": (72, 72)}
    yield rgb, "PNG", frames
    for options in ({}, {"lossless": True}, {"exif": exif}, frames):
        yield rgb, "WEBP", options
    yield alpha, "WEBP", {}
    for image in (rgb, grey, rgb.convert("P"), rgb.convert("1"), alpha):
        yield image, "BMP", {}
    for image in (rgb, grey, alpha, alpha.convert("LA"), rgb.convert("CMYK"), rgb.convert("P"), deep):
        yield image, "TIFF", {}
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield rgb, "TIFF", {"compression": compression}
    yield rgb.convert("1"), "TIFF", {"compression": "group4"}
    yield rgb.convert("YCbCr"), "TIFF", {}
    yield Image.fromarray(rows.astype(np.float32)), "TIFF", {}
    yield rgb, "TIFF", {"exif": exif, "big_tiff": True}
    yield rgb, "TIFF", frames
    yield rgb, "GIF", {}


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format=kind, **options)
    return out.getvalue()
