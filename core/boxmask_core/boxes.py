"""Boxes and pixel windows.

One convention holds inside boxmask: ``x0 y0 x1 y1``, float pixels, 0-based, half-open, in the
EXIF-oriented image. Dataset formats convert at their edge and nowhere else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from boxmask_core.errors import InvalidBoxError

EXPANSION = 0.5
"""Growth of the expanded box in width and in height: 25 % a side (Xie et al. 2020, section 3.2)."""
NOT_FINITE = "every coordinate must be a finite number"
"""The rule that a box with NaN or infinity breaks."""
NO_AREA = "a box must have x0 < x1 and y0 < y1"
"""The rule that a degenerate box breaks."""


@dataclass(frozen=True, slots=True)
class Window:
    """An integer, half-open pixel rectangle. It may reach beyond the image, and it is never empty.

    Attributes:
        x0: Left edge, pixels.
        y0: Top edge, pixels.
        x1: Right edge, pixels, exclusive.
        y1: Bottom edge, pixels, exclusive.
    """

    x0: int
    y0: int
    x1: int
    y1: int

    def __post_init__(self) -> None:
        if self.x1 <= self.x0 or self.y1 <= self.y0:
            raise InvalidBoxError(
                (self.x0, self.y0, self.x1, self.y1), "a window must hold at least one pixel"
            )

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.y1 - self.y0

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    def clipped(self, width: int, height: int) -> Window:
        """Returns the part inside a ``height`` x ``width`` image.

        Raises:
            InvalidBoxError: No pixel lies inside the image.
        """
        return Window(max(self.x0, 0), max(self.y0, 0), min(self.x1, width), min(self.y1, height))

    def relative_to(self, origin: Window) -> Window:
        """Returns the same pixels, counted from the top-left corner of ``origin``."""
        return Window(self.x0 - origin.x0, self.y0 - origin.y0, self.x1 - origin.x0, self.y1 - origin.y0)

    def slices(self) -> tuple[slice, slice]:
        """Returns ``(rows, columns)`` to index an array with. The window must lie inside the array."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


@dataclass(frozen=True, slots=True)
class Box:
    """A bounding box in float pixels, 0-based and half-open.

    Attributes:
        x0: Left edge.
        y0: Top edge.
        x1: Right edge.
        y1: Bottom edge.

    Raises:
        InvalidBoxError: A coordinate is not finite, or the box has no area.
    """

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        corners = (self.x0, self.y0, self.x1, self.y1)
        if not all(math.isfinite(value) for value in corners):
            raise InvalidBoxError(corners, NOT_FINITE)
        if self.x1 <= self.x0 or self.y1 <= self.y0:
            raise InvalidBoxError(corners, NO_AREA)

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """Height in pixels."""
        return self.y1 - self.y0

    @property
    def area(self) -> float:
        """Area in square pixels."""
        return self.width * self.height

    def clipped(self, width: int, height: int) -> Box:
        """Returns the part of the box inside a ``height`` x ``width`` image.

        Raises:
            InvalidBoxError: The box lies wholly outside the image.
        """
        x0, y0 = max(self.x0, 0.0), max(self.y0, 0.0)
        x1, y1 = min(self.x1, float(width)), min(self.y1, float(height))
        if x1 <= x0 or y1 <= y0:
            corners = (self.x0, self.y0, self.x1, self.y1)
            raise InvalidBoxError(corners, f"the box lies outside the {width} x {height} image")
        return Box(x0, y0, x1, y1)

    def window(self) -> Window:
        """Returns the pixels of the box: edges rounded half up, at least one pixel a side.

        The window of the expanded box always contains the window of the box.
        """
        (x0, x1), (y0, y1) = _pixels(self.x0, self.x1), _pixels(self.y0, self.y1)
        return Window(x0, y0, x1, y1)

    def expanded(self, factor: float = EXPANSION) -> Box:
        """Returns the box grown by ``factor`` in width and height about its centre.

        Args:
            factor: Growth relative to the side; 0.5 adds a quarter of the side at each edge.
        """
        dx, dy = self.width * factor / 2, self.height * factor / 2
        return Box(self.x0 - dx, self.y0 - dy, self.x1 + dx, self.y1 + dy)

    def expanded_window(self, width: int, height: int) -> Window:
        """Returns the pixels of the expanded box, which may reach beyond a ``height`` x ``width`` image.

        What lies outside the image is cut off before the box grows, so a window has at most one and a half
        times the image's sides, however far the box reaches beyond it.

        Raises:
            InvalidBoxError: The box lies wholly outside the image.
        """
        return self.clipped(width, height).expanded().window()


def _pixels(low: float, high: float) -> tuple[int, int]:
    start, stop = math.floor(low + 0.5), math.floor(high + 0.5)
    if stop > start:
        return start, stop
    centre = math.floor((low + high) / 2)  # expansion leaves the centre where it is
    return centre, centre + 1
