"""Label maps of many images over one call, in an event loop, with at most eight on their way.

Usage: ``python clients/examples/aio_stream.py FOLDER [SERVER]``
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from boxmask_client import AsyncClient, SegmentQuestion, ServerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def questions(folder: Path) -> AsyncIterator[tuple[Path, SegmentQuestion]]:
    """Yields one question an image. They are pulled as answers come in, so the folder may be large."""
    for path in sorted(folder.glob("*.jpg")):
        yield path, SegmentQuestion(path)


async def main(folder: str, server: str = "localhost:8500") -> None:
    """Asks a server, and tells what it answered, as the answers come."""
    async with (
        AsyncClient(server) as client,
        aclosing(client.stream_segment(questions(Path(folder)), window=8)) as outcomes,
    ):
        async for path, outcome in outcomes:
            if isinstance(outcome, ServerError):
                sys.stdout.write(f"{path}: {outcome}\n")
            else:
                sys.stdout.write(f"{path}: {len(outcome.classes)} classes\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
