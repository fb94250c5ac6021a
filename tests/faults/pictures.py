"""Images in every dress, whole and broken, and what must become of them."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import ExifTags, Image

from tests.fuzz.damage import png_chunk
from tests.server.pictures import cat, png

if TYPE_CHECKING:
    from collections.abc import Mapping

HUGE = 100_000
"""Pixels of a side that no image of a few kilobytes has."""


def written(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Returns an image as bytes."""
    out = io.BytesIO()
    image.save(out, format=kind, **options)
    return out.getvalue()


def turned(kind: str) -> bytes:
    """Returns the cat lying on its side, and EXIF that says so."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    return written(Image.fromarray(cat()).transpose(Image.Transpose.ROTATE_90), kind, exif=exif, **options)


def same_as_the_cat() -> Mapping[str, bytes]:
    """Returns the cat in dresses that lose nothing: its answer must not depend on them."""
    picture = Image.fromarray(cat())
    others: dict[str, Any] = {"save_all": True, "append_images": [picture.rotate(90), picture.rotate(180)]}
    return {
        "BMP": written(picture, "BMP"),
        "TIFF, compressed": written(picture, "TIFF", compression="tiff_lzw"),
        "WebP, lossless": written(picture, "WEBP", lossless=True),
        "PNG, animated": written(picture, "PNG", **others),
        "WebP, animated": written(picture, "WEBP", lossless=True, **others),
        "TIFF, several pages": written(picture, "TIFF", **others),
        "PNG, turned": turned("PNG"),
        "TIFF, turned": turned("TIFF"),
        "WebP, turned": turned("WEBP"),
        "PNG, opaque": written(picture.convert("RGBA"), "PNG"),
        "PNG, bytes behind its end": png("cat") + b"and more" * 100,
    }


def unusual() -> Mapping[str, bytes]:
    """Returns images that are whole, and are answered."""
    picture = Image.fromarray(cat())
    deep = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    return {
        "JPEG, CMYK": written(picture.convert("CMYK"), "JPEG"),
        "TIFF, CMYK": written(picture.convert("CMYK"), "TIFF"),
        "PNG, 16 bits": written(deep, "PNG"),
        "TIFF, 16 bits": written(deep, "TIFF"),
        "PNG, palette": written(picture.convert("P"), "PNG"),
        "PNG, 1 bit": written(picture.convert("1"), "PNG"),
        "PNG, grey with alpha": written(picture.convert("LA"), "PNG"),
        "JPEG, turned": turned("JPEG"),
    }


def broken() -> Mapping[str, bytes]:
    """Returns bytes that are no image, or half of one."""
    picture = Image.fromarray(cat())
    whole = {kind: written(picture, kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF")}
    scan = written(Image.new("L", (500, 500), 90), "JPEG", progressive=True)
    return {
        "nothing": b"",
        "words": b"this is no picture",
        "GIF": written(picture, "GIF"),
        **{f"{kind}, half": data[: len(data) // 2] for kind, data in whole.items()},
        **{f"{kind}, its first bytes": data[:12] for kind, data in whole.items()},
        "TIFF, 32 bits": written(Image.fromarray(np.ones((9, 9), np.float32)), "TIFF"),
        "JPEG, ten thousand scans": scan[:-2] + scan[scan.rindex(b"\xff\xda") : -2] * 10_000 + b"\xff\xd9",
    }


def bombs() -> Mapping[str, bytes]:
    """Returns a few kilobytes each that claim gigapixels, or unfold to gigabytes."""
    zeros = zlib.compress(bytes(10_000_000), 9)
    picture = Image.fromarray(cat()[:40, :40])
    jpeg = bytearray(written(picture, "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65_500, 65_500)
    bmp = bytearray(written(picture, "BMP"))
    bmp[18:26] = struct.pack("<ii", HUGE, HUGE)
    tiff = written(picture, "TIFF")
    for tag in (256, 257):  # width and height, a LONG each
        side, huge = (struct.pack("<HHII", tag, 4, 1, value) for value in (40, HUGE))
        assert side in tiff
        tiff = tiff.replace(side, huge)
    canvas = struct.pack("<II", 10, 0) + (HUGE - 1).to_bytes(3, "little") + (HUGE // 3).to_bytes(3, "little")
    body = b"WEBPVP8X" + canvas + written(picture, "WEBP")[12:]
    return {
        "PNG": _png(HUGE, HUGE, zeros),
        "PNG, 2 GiB of one row": _png((1 << 31) - 1, 1, zeros),
        "JPEG": bytes(jpeg),
        "BMP": bytes(bmp),
        "TIFF": tiff,
        "WebP": b"RIFF" + struct.pack("<I", len(body)) + body,
    }


def _png(width: int, height: int, content: bytes) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", content) + png_chunk(b"IEND", b"")
