"""The sizes that a network of any size is really given.

Every size is a shape of its own to the device: it must be warmed up, and only images of one shape share a
batch. On a GPU the sides are therefore rounded up to few values, and what is added is padding: less than a
step for short sides, less than a quarter for long ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from boxmask_core.segmentation import canvas_for

if TYPE_CHECKING:
    from boxmask_core.bundle import AnySize
    from boxmask_core.segmentation import Canvas

COARSE_FROM: Final = 256
"""Sides longer than this, pixels, are rounded up to coarse multiples."""
COARSE_STEP: Final = 64


@dataclass(frozen=True, slots=True)
class Buckets:
    """The sides that images are padded to.

    Attributes:
        sides: Ascending, multiples of the network's step, the last one its longest side.
        size: What the network takes.
    """

    sides: tuple[int, ...]
    size: AnySize

    @staticmethod
    def fine(size: AnySize) -> Buckets:
        """Returns every side that the network takes: the least padding."""
        return Buckets(tuple(range(size.step, size.max_side + 1, size.step)), size)

    @staticmethod
    def coarse(size: AnySize) -> Buckets:
        """Returns few sides: short ones by the network's step, long ones by coarse multiples of it."""
        step = max(COARSE_STEP // size.step, 1) * size.step
        fine = Buckets.fine(size).sides
        kept = (side for side in fine if side <= COARSE_FROM or side % step == 0 or side == size.max_side)
        return Buckets(tuple(kept), size)

    def canvas(self, width: int, height: int, scale: float = 1.0) -> Canvas:
        """Returns how an image is shown to the network; see `canvas_for`."""
        canvas = canvas_for(width, height, self.size.step, self.size.max_side, scale=scale)
        across, down = canvas.padded
        return replace(canvas, padded=(self._side(across), self._side(down)))

    def shapes(self) -> list[tuple[int, int]]:
        """Returns every ``(width, height)`` that the network is given, the largest first."""
        return [(width, height) for height in reversed(self.sides) for width in reversed(self.sides)]

    def _side(self, side: int) -> int:
        return next(bucket for bucket in self.sides if bucket >= side)
