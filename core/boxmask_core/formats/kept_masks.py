"""What lossless formats keep of a mask beside its pixels, and how it comes back.

Foreign readers pass over it: ``source_box`` is the box that the mask was made from, ``[x0, y0, x1, y1]`` as
in `Box`; ``source_id`` the instance's id; ``quality`` and ``fallback`` as in `InstanceMask` and `Proposal`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from boxmask_core.boxes import Box, Window
from boxmask_core.errors import DatasetError, InvalidInputError
from boxmask_core.grabcut import Fallback, Proposal, filled_box
from boxmask_core.instances import Flags, Instance, InstanceMask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MASK_ERRORS = (KeyError, TypeError, ValueError, AttributeError, LookupError, InvalidInputError)
"""What reading a mask raises where the file breaks its format."""


def mask_bounds(proposal: Proposal) -> Window:
    """Returns the smallest window that holds every foreground pixel of a mask that is not empty."""
    rows, columns = (np.flatnonzero(proposal.mask.any(axis=axis)) for axis in (1, 0))
    x, y = proposal.window.x0, proposal.window.y0
    return Window(x + int(columns[0]), y + int(rows[0]), x + int(columns[-1]) + 1, y + int(rows[-1]) + 1)


def cropped(proposal: Proposal, bounds: Window) -> NDArray[np.bool_]:
    """Returns the mask inside ``bounds``, which lie in its window."""
    return proposal.mask[bounds.relative_to(proposal.window).slices()]


def full_mask(proposal: Proposal, width: int, height: int) -> NDArray[np.bool_]:
    """Returns the mask of the whole image, bool ``(height, width)``."""
    full = np.zeros((height, width), dtype=np.bool_)
    full[proposal.window.slices()] = proposal.mask
    return full


def kept_fields(mask: InstanceMask) -> dict[str, Any]:
    """Returns what is kept beside the pixels; flags are kept by each format in its own way."""
    box = mask.instance.box
    return {
        "source_box": [box.x0, box.y0, box.x1, box.y1],
        "source_id": mask.instance.id,
        "quality": round(mask.quality, 4),
        "fallback": str(mask.proposal.fallback),
    }


def flag_fields(flags: Flags) -> dict[str, bool]:
    """Returns the flags by name."""
    return {
        "difficult": flags.difficult,
        "truncated": flags.truncated,
        "occluded": flags.occluded,
        "crowd": flags.crowd,
    }


def restored_mask(
    pixels: NDArray[np.bool_],
    x: int,
    y: int,
    size: tuple[int, int],
    class_name: str,
    flags: Flags,
    fields: Mapping[str, Any],
) -> InstanceMask:
    """Returns the mask that was written.

    Args:
        pixels: bool, its crop.
        x: Left edge of the crop, pixels.
        y: Top edge likewise.
        size: ``(width, height)`` of the image, pixels.
        class_name: Its class.
        flags: Its flags.
        fields: What `kept_fields` gave.

    Raises:
        KeyError: A field is missing; other members of `MASK_ERRORS` where one breaks its rule.
    """
    width, height = size
    rows, columns = pixels.shape
    if not (0 <= x <= width - columns and 0 <= y <= height - rows):
        problem = f"a mask of {columns} x {rows} pixels at {x}, {y} does not fit {width} x {height}"
        raise DatasetError(fields["source_id"], problem)
    full = np.zeros((height, width), dtype=np.bool_)
    full[y : y + rows, x : x + columns] = pixels
    instance = Instance(Box(*map(float, fields["source_box"])), class_name, flags, str(fields["source_id"]))
    window = filled_box(size, instance.box).window
    proposal = Proposal(window, full[window.slices()], Fallback(fields["fallback"]))
    return InstanceMask(instance, proposal, float(fields["quality"]))
