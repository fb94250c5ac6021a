"""Formats that cannot hold masks as they are are written only when the user says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxmask_core.errors import InvalidRequestError
from boxmask_core.formats.limits import LIMITS

if TYPE_CHECKING:
    from boxmask_convert.settings import Settings


def refuse_losses(settings: Settings) -> None:
    """Checks that the user knows what the format loses.

    Raises:
        InvalidRequestError: The format changes masks, or splits or drops objects, and that was not allowed.
    """
    limits = LIMITS[settings.target]
    if limits.lossy and not settings.allow_lossy:
        lost = "; ".join(limits.shapes)
        problem = f"{settings.target!r} cannot hold every mask as it is ({lost})"
        raise InvalidRequestError("--to", f"{problem}; add --allow-lossy, or write a format that can: coco")
