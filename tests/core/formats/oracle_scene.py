"""A scene that other libraries were shown once; what they read of it is kept in ``oracles``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from boxmask_core.boxes import Box, Window
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.instances import Flags, Instance, InstanceMask, MaskedImage

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = ("cat", "dog")
WIDTH, HEIGHT = 40, 30
_Y, _X = np.mgrid[:HEIGHT, :WIDTH]
_RADIUS = (_X - 12) ** 2 + (_Y - 11) ** 2


def disc_with_hole() -> NDArray[np.bool_]:
    return np.asarray((_RADIUS <= 81) & (_RADIUS > 9))


def triangle() -> NDArray[np.bool_]:
    return np.asarray((_Y >= 16) & (_X >= 4) & (_X - 4 <= 2 * (_Y - 16)))


def two_parts() -> NDArray[np.bool_]:
    upper = (_Y >= 3) & (_Y < 8) & (_X >= 24) & (_X < 34)
    return np.asarray(upper | ((_Y >= 12) & (_Y < 21) & (_X >= 28) & (_X < 38)))


def square_in_the_hole() -> NDArray[np.bool_]:
    return np.asarray((abs(_X - 12) <= 1) & (abs(_Y - 11) <= 1))


def whole(mask: NDArray[np.bool_], class_name: str, identity: str, *, crowd: bool = False) -> InstanceMask:
    """Returns a mask in the box of its pixels, of quality 0.5."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    window = Window(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    box = Box(window.x0, window.y0, window.x1, window.y1)
    proposal = Proposal(window, mask[window.slices()], Fallback.NONE)
    return InstanceMask(Instance(box, class_name, Flags(crowd=crowd), identity), proposal, 0.5)


def scene(*, flat: bool) -> MaskedImage:
    """Returns four masks; the second lies over the first, unless it is cut out where ``flat``."""
    disc, corner = disc_with_hole(), triangle()
    masks = (
        whole(disc & ~corner if flat else disc, "cat", "0"),
        whole(corner, "dog", "1"),
        whole(two_parts(), "cat", "2", crowd=True),
        whole(square_in_the_hole(), "dog", "3"),
    )
    return MaskedImage("a", "a.jpg", WIDTH, HEIGHT, masks)
