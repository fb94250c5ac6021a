"""Whoever waits goes first: bulk work fills the server, and an editor's question overtakes it.

Usage: ``python clients/examples/priorities.py IMAGE [SERVER]``
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from boxmask_client import AsyncClient


async def main(image: str, server: str = "localhost:8500") -> None:
    """Asks many times in bulk, then once for somebody who waits, and tells what each waited."""
    path = Path(image)
    async with AsyncClient(server) as client:
        bulk = [
            asyncio.create_task(client.segment(path, priority="bulk", scales=(0.5, 1.0, 1.5)))
            for _ in range(12)
        ]
        await asyncio.sleep(0)
        urgent = await client.segment(path, priority="interactive")
        waited = [answer.timings.queue_ms for answer in await asyncio.gather(*bulk)]
    sys.stdout.write(
        f"interactive: waited {urgent.timings.queue_ms:.0f} ms of {urgent.timings.total_ms:.0f} ms\n"
        f"bulk: waited {max(waited):.0f} ms at most\n"
    )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
