"""The two clients behind one set of methods: what is asked of one is asked of the other."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

import pytest

from boxmask_client import AsyncClient, Client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator


class _LoopClient:
    """An `AsyncClient` in an event loop that runs while something is asked."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(*arguments, **options)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        if name.startswith("stream_"):
            return lambda *arguments, **options: self._stream(method(*arguments, **options))
        return lambda *arguments, **options: self._runner.run(method(*arguments, **options))

    def _stream(self, outcomes: AsyncGenerator[Any, None]) -> Iterator[Any]:
        def drawn() -> Iterator[Any]:
            try:
                while (outcome := self._runner.run(_next(outcomes))) is not None:
                    yield outcome
            finally:
                self._runner.run(_close(outcomes))

        return drawn()


async def _next(outcomes: AsyncGenerator[Any, None]) -> Any:
    return await anext(outcomes, None)


async def _close(outcomes: AsyncGenerator[Any, None]) -> None:
    async with aclosing(outcomes):
        pass


def loop_client(*arguments: Any, **options: Any) -> Client:
    """Returns an `AsyncClient` that looks like a `Client`."""
    return cast("Client", _LoopClient(*arguments, **options))


both_stacks = pytest.mark.parametrize("connect", [Client, loop_client], ids=["threads", "loop"])
"""Gives a test each of the two as ``connect``."""
