"""Augmentation of CFS's samples: the window jitters, the image flips, the colours change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from boxmask_core.boxes import EXPANSION, Box, Window

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

MAX_SHIFT = 0.07
SCALE = (0.9, 1.13)
BRIGHTNESS = (0.7, 1.3)
CONTRAST = (0.7, 1.3)
SATURATION = (0.5, 1.4)


def jittered_window(box: Box, rng: Generator) -> Window:
    """Returns the expanded box's pixels, each axis scaled by 0.9 to 1.13 and shifted by up to 7 % of the box.

    The whole box stays inside, so a mask that touches its box can still be told.

    Args:
        box: The object's box.
        rng: Source of chance.
    """
    scale_x, scale_y = rng.uniform(*SCALE, size=2)
    shift_x, shift_y = rng.uniform(-MAX_SHIFT, MAX_SHIFT, size=2)
    half_width = box.width * (1 + EXPANSION) * scale_x / 2
    half_height = box.height * (1 + EXPANSION) * scale_y / 2
    x = (box.x0 + box.x1) / 2 + shift_x * box.width
    y = (box.y0 + box.y1) / 2 + shift_y * box.height
    return Box(x - half_width, y - half_height, x + half_width, y + half_height).window()


def jittered_colours(pixels: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
    """Changes brightness, saturation and contrast.

    Args:
        pixels: uint8 RGB, ``(H, W, 3)``.
        rng: Source of chance.
    """
    out = pixels.astype(np.float32) * np.float32(rng.uniform(*BRIGHTNESS))
    grey = out.mean(axis=2, keepdims=True)
    out = grey + (out - grey) * np.float32(rng.uniform(*SATURATION))
    mean = out.mean()
    out = mean + (out - mean) * np.float32(rng.uniform(*CONTRAST))
    changed: NDArray[np.uint8] = np.clip(out, 0, 255).astype(np.uint8)
    return changed
