"""Label maps of many images at once, in an event loop; at most four are on their way.

Usage: ``python clients/examples/aio.py IMAGE [IMAGE ...] SERVER``
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from boxmask_client import AsyncClient


async def main(images: list[Path], server: str) -> None:
    """Asks a server, and tells what the images hold."""
    places = asyncio.Semaphore(4)

    async def found_in(client: AsyncClient, image: Path) -> str:
        async with places:
            answer = await client.segment(image)
        return f"{image}: " + ", ".join(found.name for found in answer.classes)

    async with AsyncClient(server) as client:
        for line in await asyncio.gather(*(found_in(client, image) for image in images)):
            sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    asyncio.run(main([Path(image) for image in sys.argv[1:-1]], sys.argv[-1]))
