"""The client for an event loop: the same methods, to be awaited.

::

    from boxmask_client.aio import AsyncClient

    async with AsyncClient("localhost:8500") as client:
        answer = await client.pseudo_label(Path("cat.jpg"), [Instance(Box(10, 20, 200, 180), "cat")])
        async for key, outcome in client.stream_segment(questions):
            ...
"""

from boxmask_client.aio.client import AsyncClient

__all__ = ["AsyncClient"]
