"""Squares of pixels that are labelled alike, and how labels pass between them and the pixels.

Labels are OpenCV's: 0 background, 1 foreground, 2 and 3 the same, but undecided. The cells lie in a frame
that holds all undecided pixels, and the grid of cells has a rim, as `boxmask_core.max_flow` asks for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from boxmask_core.jit import jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = NDArray[np.uint8]

UNDECIDED = 2


class Frame(NamedTuple):
    """Where the cells lie.

    Attributes:
        y0: First row of pixels.
        x0: First column of pixels.
        y1: Row after the last.
        x1: Column after the last.
        side: Side of a cell, pixels; the last cell of a row or column may be smaller.
    """

    y0: int
    x0: int
    y1: int
    x1: int
    side: int


@jit
def frame_of(labels: Labels) -> tuple[int, Frame]:
    """Returns how many pixels are undecided, and the least frame that holds them, of cells of side 1."""
    height, width = labels.shape
    y0, y1, x0, x1, number = height, 0, width, 0, 0
    for y in range(height):
        for x in range(width):
            if labels[y, x] >= UNDECIDED:
                number += 1
                y0, y1, x0, x1 = min(y0, y), max(y1, y + 1), min(x0, x), max(x1, x + 1)
    return number, Frame(y0, x0, y1, x1, 1)


@jit
def grid_shape(frame: Frame) -> tuple[int, int]:
    """Returns the rows and columns of the grid, its rim included."""
    rows = (frame.y1 - frame.y0 + frame.side - 1) // frame.side + 2
    return rows, (frame.x1 - frame.x0 + frame.side - 1) // frame.side + 2


@jit
def node_columns(frame: Frame) -> NDArray[np.int64]:
    """Returns the column of the cell of each column of pixels: to divide for every pixel is too slow."""
    return np.arange(frame.x1 - frame.x0) // frame.side + 1


@jit
def first_node(y: int, frame: Frame) -> int:
    """Returns the node of the rim that begins the row of cells of a row of pixels."""
    return ((y - frame.y0) // frame.side + 1) * grid_shape(frame)[1]


@jit
def relabelled(labels: Labels, foreground: NDArray[np.bool_], frame: Frame) -> Labels:
    """Returns the labels, those of undecided pixels taken from their cells.

    Args:
        labels: uint8, ``(H, W)``.
        foreground: bool, ``(cells,)``.
        frame: It must hold every undecided pixel.
    """
    out = labels.copy()
    across = node_columns(frame)
    for y in range(frame.y0, frame.y1):
        first = first_node(y, frame)
        for x in range(frame.x0, frame.x1):
            if labels[y, x] >= UNDECIDED:
                out[y, x] = UNDECIDED + foreground[first + across[x - frame.x0]]
    return out


@jit
def narrowed(labels: Labels, frame: Frame) -> Labels:
    """Returns the labels, with all pixels decided but those of cells that the contour touches.

    Args:
        labels: uint8, ``(H, W)``.
        frame: It must hold every undecided pixel.
    """
    height, width = labels.shape
    rows, columns = grid_shape(frame)
    touched = np.zeros(rows * columns, dtype=np.bool_)
    across = node_columns(frame)
    for y in range(frame.y0, frame.y1):
        first = first_node(y, frame)
        for x in range(frame.x0, frame.x1):
            side = labels[y, x] & 1
            if (
                (y > 0 and labels[y - 1, x] & 1 != side)
                or (x > 0 and labels[y, x - 1] & 1 != side)
                or (y + 1 < height and labels[y + 1, x] & 1 != side)
                or (x + 1 < width and labels[y, x + 1] & 1 != side)
            ):
                touched[first + across[x - frame.x0]] = True
    out = labels & np.uint8(1)
    for y in range(frame.y0, frame.y1):
        first = first_node(y, frame)
        for x in range(frame.x0, frame.x1):
            if touched[first + across[x - frame.x0]]:
                out[y, x] = labels[y, x]
    return out
