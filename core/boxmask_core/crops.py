"""The way of a box into the network's square input and of the answer back into the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from boxmask_core.boxes import Box, Window

PADDING = (124, 116, 104)
"""RGB of what lies outside the image: the mean colour of ImageNet, rounded."""


@dataclass(frozen=True, slots=True)
class Crop:
    """One box as CFS sees it.

    Attributes:
        pixels: uint8 RGB, ``(size, size, 3)``: the expanded crop I_exp.
        box_mask: uint8, ``(size, size)``, 1 inside the box and 0 outside: B_exp (equation 2).
        window: The crop's place in the image; it may reach beyond it.
    """

    pixels: NDArray[np.uint8]
    box_mask: NDArray[np.uint8]
    window: Window


def network_crop(image: NDArray[np.uint8], box: Box, size: int, window: Window | None = None) -> Crop:
    """Cuts out the expanded box and resizes it to the network's input.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
        box: The object's box. What lies outside the image is cut off before the box is expanded.
        size: Side of the square input, pixels.
        window: What to cut out, if not the expanded box (training augments it).

    Raises:
        InvalidBoxError: The box or the window lies outside the image.
    """
    height, width = image.shape[:2]
    box = box.clipped(width, height)
    if window is None:
        window = box.expanded_window(width, height)
    pixels = resized(padded_crop(image, window), (size, size))
    inside = box.window().relative_to(window)
    sx, sy = size / window.width, size / window.height
    box_mask = np.zeros((size, size), dtype=np.uint8)
    box_mask[_scaled(inside.y0, inside.y1, sy, size), _scaled(inside.x0, inside.x1, sx, size)] = 1
    return Crop(pixels, box_mask, window)


def padded_crop(image: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    """Returns the window's pixels, with the mean colour where it reaches beyond the image.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
        window: What to cut out; it must overlap the image.

    Returns:
        uint8 RGB, ``(window.height, window.width, 3)``.

    Raises:
        InvalidBoxError: The window lies outside the image.
    """
    height, width = image.shape[:2]
    inside = window.clipped(width, height)
    if inside == window:
        return image[window.slices()]
    out = np.empty((window.height, window.width, 3), dtype=np.uint8)
    out[:] = PADDING
    out[inside.relative_to(window).slices()] = image[inside.slices()]
    return out


def resized(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resizes by area when shrinking on both axes and bilinearly otherwise.

    Args:
        pixels: uint8, ``(H, W, 3)`` or ``(H, W)``.
        size: ``(width, height)`` wanted.
    """
    shrinks = pixels.shape[1] >= size[0] and pixels.shape[0] >= size[1]
    out = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return out.astype(np.uint8, copy=False)


def probability_in_image(
    probability: NDArray[np.float32], window: Window, image_size: tuple[int, int]
) -> tuple[NDArray[np.float32], Window]:
    """Resizes the network's answer to the crop's own resolution and keeps what lies inside the image.

    Args:
        probability: float32, ``(size, size)``, 0 to 1.
        window: The crop's place in the image.
        image_size: ``(width, height)`` of the image.

    Returns:
        float32 probability of the visible part, and that part's window in the image.

    Raises:
        InvalidBoxError: The window lies outside the image.
    """
    visible = window.clipped(*image_size)
    full = cv2.resize(probability, (window.width, window.height), interpolation=cv2.INTER_LINEAR)
    part = full[visible.relative_to(window).slices()]
    return np.ascontiguousarray(part, dtype=np.float32), visible


def _scaled(start: int, stop: int, scale: float, size: int) -> slice:
    low = min(max(round(start * scale), 0), size - 1)
    return slice(low, max(min(round(stop * scale), size), low + 1))
