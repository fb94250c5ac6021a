from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageOps

from boxmask_core.errors import ImageTooLargeError, InvalidImageError
from boxmask_core.images import decode, read_header
from boxmask_core.jpeg_scans import MAX_SCANS

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOSSLESS = ["PNG", "BMP", "TIFF"]
ORIENTATION = 0x0112


def encoded(image: Image.Image, kind: str, exif: Image.Exif | None = None) -> bytes:
    out = io.BytesIO()
    lossless = {"lossless": True} if kind == "WEBP" else {}
    if exif is not None:
        image.save(out, format=kind, exif=exif, **lossless)
    else:
        image.save(out, format=kind, **lossless)
    return out.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header announces a size, with a few bytes of pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:20, :30]
    return np.stack([rows * 12, columns * 8, rows * 5 + columns * 5], axis=2).astype(np.uint8)


@pytest.mark.parametrize("kind", [*LOSSLESS, "WEBP"])
def test_rgb_is_decoded_exactly(picture: NDArray[np.uint8], kind: str) -> None:
    decoded = decode(encoded(Image.fromarray(picture), kind))
    assert (decoded == picture).all()
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous
    assert decoded.flags.writeable


def test_jpeg_is_decoded_as_pillow_does(picture: NDArray[np.uint8]) -> None:
    data = encoded(Image.fromarray(picture), "JPEG")
    with Image.open(io.BytesIO(data)) as reference:
        assert (decode(data) == np.asarray(reference)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied_to_pixels_and_header(
    picture: NDArray[np.uint8], kind: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encoded(Image.fromarray(picture), kind, exif)
    with Image.open(io.BytesIO(data)) as image:
        reference = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    decoded, header = decode(data), read_header(data)
    assert (decoded == reference).all()
    assert (header.height, header.width) == decoded.shape[:2] == ((30, 20) if orientation > 4 else (20, 30))
    assert (header.format, header.orientation, header.transposed) == (kind, orientation, orientation > 4)


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr", "CMYK", "RGBX"])
def test_other_layouts_become_rgb_as_pillow_converts_them(picture: NDArray[np.uint8], mode: str) -> None:
    source = Image.fromarray(picture).convert(mode)
    kind = "PNG" if mode in {"1", "L", "P"} else "TIFF"
    assert np.abs(decode(encoded(source, kind)).astype(int) - np.asarray(source.convert("RGB"))).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_to_eight(kind: str) -> None:
    samples = np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)
    decoded = decode(encoded(Image.fromarray(samples), kind))
    assert decoded[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]
    assert (decoded == decoded[:, :, :1]).all()


@pytest.mark.parametrize("samples", [np.zeros((2, 2), np.float32), np.zeros((2, 2), np.int32)])
def test_samples_without_an_agreed_range_are_refused(samples: NDArray[np.generic]) -> None:
    with pytest.raises(InvalidImageError, match="32-bit samples"):
        decode(encoded(Image.fromarray(samples), "TIFF"))


@pytest.mark.parametrize(("alpha", "expected"), [(0, 255), (255, 40), (128, 147)])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_laid_over_white(mode: str, alpha: int, expected: int) -> None:
    colour = (40, 40, 40, alpha) if mode == "RGBA" else (40, alpha)
    decoded = decode(encoded(Image.new(mode, (3, 2), colour), "PNG"))
    assert np.abs(decoded.astype(int) - expected).max() <= 1


def test_a_transparent_palette_entry_becomes_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    out = io.BytesIO()
    image.save(out, format="PNG", transparency=0)
    assert decode(out.getvalue()).tolist() == [[[255, 255, 255], [40, 50, 60]]]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_of_several_frames_the_first_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "lime", "blue")]
    out = io.BytesIO()
    frames[0].save(out, format=kind, save_all=True, append_images=frames[1:])
    assert (np.abs(decode(out.getvalue()).astype(int) - (255, 0, 0)) <= 1).all()


def test_too_many_pixels_are_refused_by_the_header_alone() -> None:
    data = png_claiming(60_000, 50_000)
    header = read_header(data)
    assert (header.width, header.height, header.format, header.mode) == (60_000, 50_000, "PNG", "RGB")
    with pytest.raises(ImageTooLargeError, match="3000000000 pixels, the limit is 1000000"):
        decode(data, max_pixels=1_000_000)


def test_the_limit_itself_is_allowed(picture: NDArray[np.uint8]) -> None:
    data = encoded(Image.fromarray(picture), "PNG")
    assert decode(data, max_pixels=600).shape == (20, 30, 3)
    with pytest.raises(ImageTooLargeError):
        decode(data, max_pixels=599)


@pytest.mark.parametrize("kind", ["JPEG", *LOSSLESS, "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow also warns of a TIFF that is cut off
def test_a_file_that_is_cut_off_is_refused_by_name(
    picture: NDArray[np.uint8], kind: str, share: float
) -> None:
    data = encoded(Image.fromarray(np.tile(picture, (4, 4, 1))), kind)
    with pytest.raises(InvalidImageError, match=r"photo\.img cannot be decoded"):
        decode(data[: int(len(data) * share)], what="photo.img")


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"<svg/>", b"\xff\xd8\xff", b"RIFF1234WAVE", b"BM", b"II*\0"]
)
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidImageError):
        decode(data)
    with pytest.raises(InvalidImageError):
        read_header(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_damaged_bytes_never_raise_anything_else(
    picture: NDArray[np.uint8], kind: str, rng: np.random.Generator
) -> None:
    data = encoded(Image.fromarray(picture), kind)
    for _ in range(150):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), 4):
            damaged[place] = rng.integers(0, 256)
        try:
            decode(bytes(damaged), max_pixels=100_000)
        except (InvalidImageError, ImageTooLargeError):
            continue


def test_exif_that_cannot_be_read_does_not_spoil_the_image(picture: NDArray[np.uint8]) -> None:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, format="PNG", exif=b"Exif\0\0nonsense")
    assert (decode(out.getvalue()) == picture).all()


def test_a_jpeg_that_goes_over_its_pixels_without_end_is_refused(picture: NDArray[np.uint8]) -> None:
    data = progressive(picture)
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    again = data[:-2] + last_scan * (MAX_SCANS - data.count(b"\xff\xda"))
    assert decode(again + b"\xff\xd9").shape == picture.shape
    with pytest.raises(InvalidImageError, match="more than 100 scans"):
        decode(again + last_scan + b"\xff\xd9")


@pytest.mark.parametrize("where", ["behind its end", "in a comment"])
def test_what_looks_like_scans_outside_of_them_does_not_count(picture: NDArray[np.uint8], where: str) -> None:
    data, scans = progressive(picture), b"\xff\xda\0\2" * (2 * MAX_SCANS)
    comment = b"\xff\xfe" + (len(scans) + 2).to_bytes(2) + scans
    dressed = data + scans if where == "behind its end" else data[:2] + comment + data[2:]
    assert (decode(dressed) == decode(data)).all()


def progressive(picture: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, format="JPEG", progressive=True)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_an_animation_or_several_pages_are_told_and_the_first_is_decoded(
    picture: NDArray[np.uint8], kind: str
) -> None:
    out = io.BytesIO()
    lossless = {"lossless": True} if kind == "WEBP" else {}
    first, second = Image.fromarray(picture), Image.fromarray(255 - picture)
    first.save(out, kind, save_all=True, append_images=[second], **lossless)
    assert read_header(out.getvalue()).several_frames
    assert (decode(out.getvalue()) == picture).all()
    assert not read_header(encoded(first, kind)).several_frames
