from __future__ import annotations

import asyncio
import contextlib

import pytest

from boxmask_core.errors import DrainingError, QueueFullError
from boxmask_server.wire.admission import Admission
from boxmask_server.work.urgency import Priority


def test_a_request_without_a_place_is_refused_and_says_the_limit() -> None:
    async def scene() -> None:
        admission = Admission(1)
        async with admission.enter(wait=False):
            with pytest.raises(QueueFullError, match="as many requests as it may, 1 "):
                await _pass(admission, wait=False)
        await _pass(admission, wait=False)

    asyncio.run(scene())


def test_an_item_of_a_stream_waits_for_a_place() -> None:
    async def scene() -> None:
        admission = Admission(1)
        async with admission.enter(wait=False):
            waiting = asyncio.create_task(_pass(admission, wait=True))
            await asyncio.sleep(0)
            assert not waiting.done()
        await waiting

    asyncio.run(scene())


def test_a_closed_door_lets_nobody_in_and_answers_who_waits() -> None:
    async def scene() -> None:
        admission = Admission(1)
        async with admission.enter(wait=False):
            waiting = asyncio.create_task(_pass(admission, wait=True))
            await asyncio.sleep(0)
            admission.close()
            with pytest.raises(DrainingError):
                await _pass(admission, wait=True)
            idle = asyncio.create_task(admission.idle())
            await asyncio.sleep(0)
            assert not idle.done()
        await asyncio.gather(waiting, idle)

    asyncio.run(scene())


def test_a_caller_that_leaves_while_it_waits_frees_its_place() -> None:
    async def scene() -> None:
        admission = Admission(1)
        async with admission.enter(wait=False):
            waiting = asyncio.create_task(_pass(admission, wait=True))
            await asyncio.sleep(0)
            waiting.cancel()
        await admission.idle()
        await _pass(admission, wait=False)

    asyncio.run(scene())


def test_the_bytes_inside_are_bounded_too_and_one_large_request_still_comes_in() -> None:
    async def scene() -> None:
        admission = Admission(9, 1000)
        async with admission.enter(wait=False, size=5000):
            assert admission.bytes_inside == 1000
            with pytest.raises(QueueFullError, match="as many bytes as it may, 1000 "):
                async with admission.enter(wait=False, size=1):
                    pass
        async with admission.enter(wait=False, size=600), admission.enter(wait=False, size=400):
            pass

    asyncio.run(scene())


def test_bulk_is_refused_while_there_is_room_for_who_waits_for_an_answer() -> None:
    async def scene() -> None:
        admission = Admission(4)
        bulk = Priority.BULK
        async with contextlib.AsyncExitStack() as inside:
            for _ in range(3):
                await inside.enter_async_context(admission.enter(wait=False, priority=bulk))
            with pytest.raises(QueueFullError):
                async with admission.enter(wait=False, priority=bulk):
                    pass
            await _pass(admission, wait=False)

    asyncio.run(scene())


async def _pass(admission: Admission, *, wait: bool) -> None:
    async with admission.enter(wait=wait):
        pass
