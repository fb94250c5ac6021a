"""Room for one decoded image: its header is read first, so that nothing is decoded before there is room."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from boxmask_server.work.host_steps import pixels_of, timed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from boxmask_server.work.host_pool import HostPool
    from boxmask_server.work.urgency import Urgency


@asynccontextmanager
async def image_room(
    pool: HostPool, urgency: Urgency, image: bytes, max_pixels: int, what: str
) -> AsyncIterator[float]:
    """Holds room for an image while the block runs; yields the milliseconds of reading its header.

    Raises:
        InvalidImageError: The bytes are no image, or a broken one.
        ImageTooLargeError: The header declares more pixels than the limit.
        DeadlineError: The deadline passed before a worker was free.
    """
    pixels, header_ms = await pool.run_for(urgency, timed, pixels_of, image, max_pixels, what)
    async with pool.pixels.hold(pixels, urgency.priority):
        yield header_ms
