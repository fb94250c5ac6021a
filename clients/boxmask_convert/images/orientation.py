"""Boxes drawn on other pixels than those of the upright image: as they are stored, or of another size."""

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


def scaled_box(box: Box, drawn_on: tuple[int, int], size: tuple[int, int]) -> Box:
    """Returns the box as it lies in the same image of another size.

    Args:
        box: In pixels of the image that it was drawn on.
        drawn_on: ``(width, height)`` of that image, pixels.
        size: ``(width, height)`` that it is wanted for, pixels.
    """
    across, down = size[0] / drawn_on[0], size[1] / drawn_on[1]
    return Box(box.x0 * across, box.y0 * down, box.x1 * across, box.y1 * down)
