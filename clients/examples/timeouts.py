"""How long a question may take, and how to take it back.

Usage: ``python clients/examples/timeouts.py IMAGE [SERVER]``
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from boxmask_client import AsyncClient, DeadlineExceededError


async def main(image: str, server: str = "localhost:8500") -> None:
    """Gives up a question by its timeout, by its task, and by the time for several of them together."""
    async with AsyncClient(server, timeout=30) as client:  # for every call that does not say otherwise
        try:
            await client.segment(Path(image), timeout=0.0001)
        except DeadlineExceededError:
            sys.stdout.write("no answer within a tenth of a millisecond\n")

        task = asyncio.create_task(client.segment(Path(image)))
        await asyncio.sleep(0)
        task.cancel()  # the server drops what it has not begun
        await asyncio.wait([task])
        sys.stdout.write(f"taken back: {task.cancelled()}\n")

        async with asyncio.timeout(30):
            first, second = await asyncio.gather(
                client.segment(Path(image)), client.segment(Path(image), flip=True)
            )
        sys.stdout.write(f"both in time: {first.width} and {second.width} pixels wide\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
