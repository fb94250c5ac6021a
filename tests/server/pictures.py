"""Photographs as bytes, and boxes on them."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from skimage import data

from boxmask_core.boxes import Box
from boxmask_core.instances import Instance

if TYPE_CHECKING:
    from numpy.typing import NDArray


@cache
def cat() -> NDArray[np.uint8]:
    """A cat, 225 x 150 pixels."""
    photograph = data.chelsea()  # type: ignore[no-untyped-call]  # scikit-image has no types
    return np.asarray(Image.fromarray(photograph).resize((225, 150)))


@cache
def astronaut() -> NDArray[np.uint8]:
    """An astronaut, 128 x 128 pixels."""
    photograph = data.astronaut()  # type: ignore[no-untyped-call]  # scikit-image has no types
    return np.asarray(Image.fromarray(photograph).resize((128, 128)))


@cache
def png(name: str) -> bytes:
    """Returns one of the photographs as lossless bytes."""
    return encoded({"cat": cat, "astronaut": astronaut}[name]())


def encoded(pixels: NDArray[np.uint8]) -> bytes:
    """Returns pixels as lossless bytes."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


def noise(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Blotches of colour, of any size."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // 9 + 1, width // 9 + 1, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


CAT = Instance(Box(40, 8, 190, 140), "cat", id="tom")
EAR = Instance(Box(50.5, 10.25, 90, 60), "ear", id="left")
CORNER = Instance(Box(-20, -10, 60, 70), "dog", id="corner")
HEAD = Instance(Box(38, 6, 76, 54), "person", id="head")
"""On `astronaut`; the others are on `cat`."""
