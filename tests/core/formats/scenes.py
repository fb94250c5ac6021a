"""Images of masks that the tests of writers share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from boxmask_core.instances import Flags, MaskedImage

if TYPE_CHECKING:
    from boxmask_core.instances import InstanceMask
    from tests.core.conftest import MakeMask

NAMES = ("cat", "dog")
RING = np.pad(np.zeros((3, 3)), 2, constant_values=1)
"""7 x 7, with a hole of 3 x 3."""


def masked(key: str, *masks: InstanceMask, width: int = 20, height: int = 12) -> MaskedImage:
    return MaskedImage(key, f"{key}.jpg", width, height, masks)


def cat_and_dog(make_mask: MakeMask) -> MaskedImage:
    """A large cat with a hole and, over its corner, a small dog."""
    cat = make_mask(RING, at=(2, 3), class_name="cat", flags=Flags(truncated=True), identity="17")
    dog = make_mask(np.ones((2, 4)), at=(7, 8), class_name="dog", identity="18")
    return masked("sub/a", cat, dog)
