"""What lossless formats keep of a mask beside its pixels, and how it comes back.

Foreign readers pass over it: ``source_box`` is the box that the mask was made from, ``[x0, y0, x1, y1]`` as
in `Box`; ``source_id`` the instance's id; ``quality`` and ``fallback`` as in `InstanceMask` and `Proposal`.
Masks that others wrote lack these: their box is that of their pixels, their id empty, their quality 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from boxmask_core.boxes import Box, Window
from boxmask_core.errors import InvalidInputError
from boxmask_core.grabcut import Fallback, Proposal, filled_box
from boxmask_core.instances import Flags, Instance, InstanceMask
from boxmask_core.palette import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_FLAGS = ("difficult", "truncated", "occluded", "crowd")
MASK_ERRORS = (TypeError, ValueError, AttributeError, LookupError, OverflowError, InvalidInputError)
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
    return {name: getattr(flags, name) for name in _FLAGS}


def read_flags(fields: Mapping[str, Any]) -> Flags:
    """Returns the flags among fields that hold others beside them; what is missing is not set."""
    return Flags(**{name: bool(fields.get(name)) for name in _FLAGS})


def checked_size(width: object, height: object) -> tuple[int, int]:
    """Returns ``(width, height)`` as a file declares them: masks as large as that are going to be made.

    Args:
        width: Width of the image, pixels.
        height: Height of the image, pixels.

    Raises:
        ValueError: They are no positive integers, or no mask has so many pixels.
    """
    if not isinstance(width, int) or not isinstance(height, int) or min(width, height) <= 0:
        raise ValueError(f"width and height must be positive integers, but got {width!r} and {height!r}")
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels are more than the {MAX_PIXELS} of a mask")
    return width, height


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
        fields: What `kept_fields` gave, and in files of others nothing.

    Raises:
        ValueError: The mask lies outside the image, or it has neither a pixel nor a box; other members of
            `MASK_ERRORS` where a field breaks its rule.
    """
    quality = float(fields.get("quality", 1.0))
    if not isinstance(class_name, str):
        raise ValueError(f"a class must be a text, but got {class_name!r}")
    if not 0 <= quality <= 1:
        raise ValueError(f"a quality must lie between 0 and 1, but got {quality}")
    full = placed(pixels, x, y, size)
    box = Box(*map(float, fields["source_box"])) if "source_box" in fields else _box_of(full)
    window = filled_box(size, box).window
    proposal = Proposal(window, full[window.slices()], Fallback(fields.get("fallback", Fallback.NONE)))
    instance = Instance(box, class_name, flags, str(fields.get("source_id", "")))
    return InstanceMask(instance, proposal, quality)


def placed(pixels: NDArray[np.bool_], x: int, y: int, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Returns a crop in its place in the image, bool ``(height, width)``.

    Args:
        pixels: bool, the crop.
        x: Its left edge, pixels.
        y: Its top edge likewise.
        size: ``(width, height)`` of the image, pixels.

    Raises:
        ValueError: It lies outside the image.
    """
    width, height = size
    rows, columns = pixels.shape
    if not (0 <= x <= width - columns and 0 <= y <= height - rows):
        raise ValueError(f"a mask of {columns} x {rows} pixels at {x}, {y} does not fit {width} x {height}")
    full = np.zeros((height, width), dtype=np.bool_)
    full[y : y + rows, x : x + columns] = pixels
    return full


def _box_of(full: NDArray[np.bool_]) -> Box:
    """Returns the box around the pixels of a mask."""
    height, width = full.shape
    if not full.any():
        raise ValueError("a mask must have a pixel where no source_box is noted, but it is empty")
    bounds = mask_bounds(Proposal(Window(0, 0, width, height), full, Fallback.NONE))
    return Box(bounds.x0, bounds.y0, bounds.x1, bounds.y1)
