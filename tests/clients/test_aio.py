"""What is particular to the client of an event loop: it shares the loop, and ends when its task does."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

import numpy as np
import pytest

from boxmask_client import Answer, AsyncClient, Client, Question, SegmentQuestion
from boxmask_core.errors import InvalidImageError
from tests.clients.scenes import CAT, cat, png
from tests.clients.scripted_server import ScriptedServer, scripted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator
    from pathlib import Path

METHODS = [
    name
    for name, _ in inspect.getmembers(Client, inspect.isfunction)
    if not name.startswith("_") and name != "close"
]
ITEMS = "items"
"""The one argument that differs: it may be an asynchronous iterable as well."""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[tuple[ScriptedServer, str]]:
    with scripted(f"unix:{tmp_path}/socket") as (server, address):
        yield server, address


@pytest.mark.parametrize("name", METHODS)
def test_both_clients_have_the_same_methods_with_the_same_arguments(name: str) -> None:
    there, here = (inspect.signature(getattr(client, name)) for client in (Client, AsyncClient))
    assert list(there.parameters) == list(here.parameters)
    for argument, parameter in there.parameters.items():
        assert (parameter.kind, parameter.default) == (
            here.parameters[argument].kind,
            here.parameters[argument].default,
        )
        if argument != ITEMS:
            assert parameter.annotation == here.parameters[argument].annotation


def test_there_are_methods_to_compare() -> None:
    others = [
        name
        for name, _ in inspect.getmembers(AsyncClient, inspect.isfunction)
        if not name.startswith("_") and name != "close"
    ]
    assert others == METHODS
    assert len(METHODS) == 8


def test_many_calls_are_on_their_way_at_once(server: str) -> None:
    async def scene() -> None:
        async with AsyncClient(server) as client:
            calls = (client.pseudo_label(png(cat()), [CAT], method="box") for _ in range(20))
            answers = await asyncio.gather(*calls)
            label_map = await client.segment(png(cat()))
        assert len({answer.masks[0].proposal.mask.tobytes() for answer in answers}) == 1
        assert label_map.label_map.shape == (150, 225)

    asyncio.run(scene())


def test_the_event_loop_goes_on_while_an_image_is_encoded(here: tuple[ScriptedServer, str]) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (3000, 3000, 3), dtype=np.uint8)

    async def scene() -> tuple[float, float]:
        longest, over = 0.0, False

        async def tick() -> None:
            nonlocal longest
            while not over:
                start = time.perf_counter()
                await asyncio.sleep(0.001)
                longest = max(longest, time.perf_counter() - start)

        async with AsyncClient(here[1]) as client:
            await client.models()
            ticking = asyncio.create_task(tick())
            start = time.perf_counter()
            await client.pseudo_label(noise, [])
            took, over = time.perf_counter() - start, True
            await ticking
        return longest, took

    longest, took = asyncio.run(scene())
    assert longest < took / 2


def test_a_task_that_is_cancelled_cancels_its_call(here: tuple[ScriptedServer, str]) -> None:
    server, address = here
    begun, gone = threading.Event(), threading.Event()

    def hold(_: str, context: object) -> None:
        context.add_callback(gone.set)  # type: ignore[attr-defined]  # gRPC's context
        begun.set()
        assert gone.wait(20)

    server.hook = hold

    async def scene() -> None:
        async with AsyncClient(address) as client:
            task = asyncio.create_task(client.models())
            await asyncio.to_thread(begun.wait, 20)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(gone.wait, 20)
            server.hook = None
            assert await client.models()

    asyncio.run(scene())


def test_a_stream_that_is_closed_early_ends_its_call_and_its_questions(
    here: tuple[ScriptedServer, str],
) -> None:
    ended = False

    async def questions() -> AsyncGenerator[tuple[int, Question], None]:
        nonlocal ended
        try:
            for i in range(10**6):
                yield i, Question(b"image")
        finally:
            ended = True

    async def scene() -> None:
        async with AsyncClient(here[1]) as client:
            async with (
                aclosing(questions()) as asked,
                aclosing(client.stream_pseudo_label(asked)) as outcomes,
            ):
                async for _, outcome in outcomes:
                    assert isinstance(outcome, Answer)
                    break
            assert ended
            assert await client.models()

    asyncio.run(scene())


def test_questions_may_wait_without_holding_the_loop_up(here: tuple[ScriptedServer, str]) -> None:
    more = threading.Event()

    def slow() -> Iterator[tuple[int, Question]]:
        yield 0, Question(b"image")
        assert more.wait(20)
        yield 1, Question(b"image")

    async def scene() -> list[int]:
        async with AsyncClient(here[1]) as client:
            keys = []
            async for key, _ in client.stream_pseudo_label(slow()):
                keys.append(key)
                more.set()
            return keys

    assert asyncio.run(scene()) == [0, 1]


def test_what_the_items_raise_is_raised_after_the_answers_before_it(here: tuple[ScriptedServer, str]) -> None:
    async def questions() -> AsyncIterator[tuple[int, Question]]:
        yield 0, Question(b"image")
        raise LookupError("the list is broken")

    async def scene() -> list[int]:
        keys: list[int] = []
        async with AsyncClient(here[1]) as client:
            outcomes = client.stream_pseudo_label(questions())
            keys.append((await anext(outcomes))[0])
            with pytest.raises(LookupError, match="the list is broken"):
                await anext(outcomes)
        return keys

    assert asyncio.run(scene()) == [0]


def test_an_image_that_cannot_be_sent_ends_the_stream(here: tuple[ScriptedServer, str]) -> None:
    async def scene() -> None:
        async with AsyncClient(here[1]) as client:
            wrong = SegmentQuestion(np.zeros((4, 4), dtype=np.uint8))
            with pytest.raises(InvalidImageError):
                async for _ in client.stream_segment([(0, wrong)]):
                    pass

    asyncio.run(scene())


def test_a_client_may_be_made_before_there_is_an_event_loop(here: tuple[ScriptedServer, str]) -> None:
    client = AsyncClient(here[1])

    async def scene() -> None:
        async with client:
            assert await client.models()

    asyncio.run(scene())


def test_the_streams_timeout_is_for_the_whole_of_it(here: tuple[ScriptedServer, str]) -> None:
    server, address = here
    server.hook = lambda _, __: time.sleep(0.1)

    async def scene() -> int:
        count = 0
        async with AsyncClient(address) as client:
            with contextlib.suppress(Exception):
                async for _ in client.stream_pseudo_label(
                    ((i, Question(b"image")) for i in range(10**6)), timeout=1
                ):
                    count += 1
        return count

    start = time.monotonic()
    assert 0 < asyncio.run(scene()) < 15
    assert time.monotonic() - start < 5
