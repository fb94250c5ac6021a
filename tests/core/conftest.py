from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import pytest
from skimage import data

from boxmask_core.boxes import Box, Window
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.instances import Flags, Instance, InstanceMask

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

NO_FLAGS = Flags()


class MakeMask(Protocol):
    def __call__(
        self,
        mask: ArrayLike,
        *,
        at: tuple[int, int] = (0, 0),
        class_name: str = "cat",
        box: Box | None = None,
        flags: Flags = NO_FLAGS,
        identity: str = "0",
    ) -> InstanceMask: ...


@pytest.fixture
def make_mask() -> MakeMask:
    """Builds the answer for one instance from a mask and the x, y of its top-left corner."""

    def make(
        mask: ArrayLike,
        *,
        at: tuple[int, int] = (0, 0),
        class_name: str = "cat",
        box: Box | None = None,
        flags: Flags = NO_FLAGS,
        identity: str = "0",
    ) -> InstanceMask:
        pixels = np.asarray(mask, dtype=np.bool_)
        x, y = at
        height, width = pixels.shape
        box = box or Box(x, y, x + width, y + height)
        proposal = Proposal(Window(x, y, x + width, y + height), pixels, Fallback.NONE)
        return InstanceMask(Instance(box, class_name, flags, identity), proposal, 0.5)

    return make


@pytest.fixture(scope="session")
def cat() -> NDArray[np.uint8]:
    """A photograph of a cat's face, uint8 RGB, (300, 451, 3)."""
    photograph = data.chelsea()  # type: ignore[no-untyped-call]  # scikit-image has no types
    return np.asarray(photograph, dtype=np.uint8)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
