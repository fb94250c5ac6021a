"""Small pictures and detection datasets for the tests of the clients."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
from PIL import Image
from skimage import data

from boxmask_core.boxes import Box
from boxmask_core.instances import Instance

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Corners = tuple[float, float, float, float]

CAT = Instance(Box(40, 8, 190, 140), "cat", id="0")
EAR = Instance(Box(50, 10, 90, 60), "ear", id="1")


@cache
def cat() -> NDArray[np.uint8]:
    """A cat, 225 x 150 pixels."""
    photograph = data.chelsea()  # type: ignore[no-untyped-call]  # scikit-image leaves it untyped
    return np.asarray(Image.fromarray(photograph).resize((225, 150)))


def png(pixels: NDArray[np.uint8]) -> bytes:
    return _encoded(pixels, "PNG")


def jpeg(pixels: NDArray[np.uint8], orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95, exif=exif)
    return out.getvalue()


def varied_cat(seed: int) -> NDArray[np.uint8]:
    """A cat that no other seed gives."""
    rng = np.random.default_rng(seed)
    noisy = cat().astype(np.int16) + rng.integers(-12, 12, (150, 225, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def photographs(folder: Path, count: int) -> Path:
    """Writes cats of six sizes as ``000.jpg`` and so on, every fourth below ``more``; returns the folder."""
    (folder / "more").mkdir(parents=True)
    for i in range(count):
        pixels = varied_cat(i)[: 150 - 40 * (i % 3), : 225 - 30 * (i % 2)]
        (folder / ("more" if i % 4 == 3 else "") / f"{i:03}.jpg").write_bytes(jpeg(pixels))
    return folder


class VocFolder:
    """A VOC dataset that is written image by image, with whatever a test wants to be wrong.

    It begins with some good images, ``good0`` and so on.
    """

    def __init__(self, root: Path, good: int = 0) -> None:
        self.root = root
        (root / "Annotations").mkdir(parents=True)
        (root / "JPEGImages").mkdir()
        for number in range(good):
            self.good(f"good{number}", seed=number)

    def image(self, key: str, content: bytes) -> None:
        (self.root / "JPEGImages" / f"{key}.jpg").write_bytes(content)

    def annotation(self, key: str, boxes: list[tuple[str, Box]], size: tuple[int, int] = (225, 150)) -> None:
        """VOC counts from 1 and includes the last pixel."""
        corners = [(name, (box.x0 + 1, box.y0 + 1, box.x1, box.y1)) for name, box in boxes]
        self.raw_annotation(key, corners, size)

    def raw_annotation(self, key: str, boxes: Sequence[tuple[str, Corners]], size: tuple[int, int]) -> None:
        """Corners as they stand in the file; they may be anything."""
        root = ElementTree.Element("annotation")
        ElementTree.SubElement(root, "filename").text = f"{key}.jpg"
        element = ElementTree.SubElement(root, "size")
        for tag, value in zip(("width", "height"), size, strict=True):
            ElementTree.SubElement(element, tag).text = str(value)
        for name, corners in boxes:
            element = ElementTree.SubElement(root, "object")
            ElementTree.SubElement(element, "name").text = name
            bndbox = ElementTree.SubElement(element, "bndbox")
            for tag, number in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
                ElementTree.SubElement(bndbox, tag).text = f"{number:g}"
        ElementTree.ElementTree(root).write(self.root / "Annotations" / f"{key}.xml")

    def good(self, key: str, seed: int = 0) -> None:
        """An image with a cat and, inside its box, an ear."""
        self.image(key, jpeg(varied_cat(seed)))
        self.annotation(key, [("cat", CAT.box), ("ear", EAR.box)])


def _encoded(pixels: NDArray[np.uint8], format_name: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format_name)
    return out.getvalue()
