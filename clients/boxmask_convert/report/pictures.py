"""The report's pictures: one box, and what each step made of it."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from boxmask_core.boxes import Box, Window
    from boxmask_core.grabcut import Proposal

SIDE: Final = 400
"""Longest side of a picture, pixels: twice what the page shows, for fine screens and for enlarging."""
COLOUR: Final = (255, 45, 135)
"""RGB of masks and boxes: rare in photographs."""
_DIMMED: Final = 0.45
_TINT: Final = 0.16
_JPEG_QUALITY: Final = 80


def overview(image: NDArray[np.uint8], box: Box, others: Sequence[Box]) -> NDArray[np.uint8]:
    """Returns the whole image with the box in colour and the image's other boxes thin and white.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
        box: The box that is shown.
        others: The image's other boxes.

    Returns:
        uint8 RGB, the longest side of `SIDE` pixels.
    """
    picture, scale = _scaled(image)
    for other in others:
        _draw_box(picture, other, scale, (255, 255, 255), 1)
    _draw_box(picture, box, scale, COLOUR, 3)
    return picture


def boxed(image: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Returns the surroundings of a box, and the box drawn on them. Arguments as in `overview`."""
    window = _surroundings(image, box)
    picture, scale = _scaled(image[window.slices()])
    _draw_box(picture, box, scale, COLOUR, 3, origin=(window.x0, window.y0))
    return picture


def masked(image: NDArray[np.uint8], box: Box, proposal: Proposal, *, side: int = SIDE) -> NDArray[np.uint8]:
    """Returns the surroundings of a box with its mask: the rest is dimmed and grey, the edge is drawn.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
        box: The box.
        proposal: Its mask.
        side: Longest side of the picture, pixels.
    """
    window = _surroundings(image, box)
    picture, _ = _scaled(image[window.slices()], side)
    mask = _mask_in(window, proposal, picture.shape[:2])
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[:, :, None] * _DIMMED
    tinted = picture * (1 - _TINT) + np.array(COLOUR) * _TINT
    out = np.where(mask[:, :, None], tinted, grey).astype(np.uint8)
    rings, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(out, rings, -1, COLOUR, 2, cv2.LINE_AA)
    return out


def data_uri(picture: NDArray[np.uint8]) -> str:
    """Returns a picture as a ``data:`` address of a JPEG."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _surroundings(image: NDArray[np.uint8], box: Box) -> Window:
    height, width = image.shape[:2]
    return box.expanded_window(width, height).clipped(width, height)


def _scaled(image: NDArray[np.uint8], side: int = SIDE) -> tuple[NDArray[np.uint8], float]:
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, size, interpolation=method).astype(np.uint8, copy=False), scale


def _mask_in(window: Window, proposal: Proposal, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    full = np.zeros((window.height, window.width), dtype=np.float32)
    full[proposal.window.relative_to(window).slices()] = proposal.mask
    return np.asarray(cv2.resize(full, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR) > 0.5)


def _draw_box(
    picture: NDArray[np.uint8],
    box: Box,
    scale: float,
    colour: tuple[int, int, int],
    thickness: int,
    origin: tuple[int, int] = (0, 0),
) -> None:
    height, width = picture.shape[:2]
    x0, y0 = (round((value - start) * scale) for value, start in zip((box.x0, box.y0), origin, strict=True))
    x1, y1 = (round((value - start) * scale) for value, start in zip((box.x1, box.y1), origin, strict=True))
    inset = thickness // 2  # keeps the line of a box at the image's edge inside the picture
    low = max(x0, inset), max(y0, inset)
    high = min(x1, width - 1 - inset), min(y1, height - 1 - inset)
    cv2.rectangle(picture, low, high, colour, thickness, cv2.LINE_AA)
