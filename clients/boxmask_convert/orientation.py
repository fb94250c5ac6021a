"""Boxes drawn on the stored pixels of an image that EXIF turns upright."""

from __future__ import annotations

from boxmask_core.boxes import Box


def upright_box(box: Box, orientation: int, stored_size: tuple[int, int]) -> Box:
    """Returns the box as it lies in the upright image.

    Args:
        box: In the pixels as they are stored.
        orientation: EXIF orientation (TIFF 6.0, tag 274), 5 to 8: those that swap the sides.
        stored_size: ``(width, height)`` as stored, pixels.
    """
    width, height = stored_size
    x0, x1 = (box.y0, box.y1) if orientation in {5, 8} else (height - box.y1, height - box.y0)
    y0, y1 = (box.x0, box.x1) if orientation in {5, 6} else (width - box.x1, width - box.x0)
    return Box(x0, y0, x1, y1)
