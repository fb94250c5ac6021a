from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from boxmask_core.errors import DrainingError
from boxmask_server.wire.window import answered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Questions:
    """A stream of numbers that remembers how far it was read."""

    def __init__(self, count: int) -> None:
        self.read = 0
        self._count = count

    async def __aiter__(self) -> AsyncIterator[int]:
        while self.read < self._count:
            self.read += 1
            yield self.read - 1


def test_every_item_is_answered_once() -> None:
    async def scene() -> None:
        async def answer(item: int) -> int:
            await asyncio.sleep(0.001 * (item % 3))
            return item

        answers = answered(aiter(Questions(30)), answer, window=4, closed=asyncio.Event())
        assert sorted([item async for item in answers]) == list(range(30))

    asyncio.run(scene())


def test_a_slow_item_does_not_hold_back_the_others() -> None:
    async def scene() -> None:
        release = asyncio.Event()

        async def answer(item: int) -> int:
            if item == 0:
                await release.wait()
            return item

        answers = answered(aiter(Questions(4)), answer, window=2, closed=asyncio.Event())
        assert [await anext(answers) for _ in range(3)] == [1, 2, 3]
        release.set()
        assert [item async for item in answers] == [0]

    asyncio.run(scene())


def test_where_order_is_asked_for_answers_come_in_the_order_of_the_items() -> None:
    async def scene() -> None:
        async def answer(item: int) -> int:
            await asyncio.sleep(0.001 * (-item % 5))
            return item

        answers = answered(aiter(Questions(40)), answer, window=7, closed=asyncio.Event(), in_order=True)
        assert [item async for item in answers] == list(range(40))

    asyncio.run(scene())


def test_in_order_a_slow_item_holds_back_the_others_and_the_reading() -> None:
    async def scene() -> None:
        release = asyncio.Event()
        questions = Questions(100)

        async def answer(item: int) -> int:
            if item == 0:
                await release.wait()
            return item

        answers = answered(aiter(questions), answer, window=3, closed=asyncio.Event(), in_order=True)
        first = asyncio.ensure_future(anext(answers))
        await asyncio.sleep(0.02)
        assert not first.done()
        assert questions.read == 3
        release.set()
        assert [await first, *[await anext(answers) for _ in range(9)]] == list(range(10))
        await answers.aclose()

    asyncio.run(scene())


def test_in_order_what_was_read_is_answered_when_the_door_closes() -> None:
    async def scene() -> None:
        closed, release = asyncio.Event(), asyncio.Event()

        async def answer(item: int) -> int:
            await release.wait()
            return item

        answers = answered(aiter(Questions(100)), answer, window=3, closed=closed, in_order=True)
        first = asyncio.ensure_future(anext(answers))
        await asyncio.sleep(0.02)
        closed.set()
        await asyncio.sleep(0.02)
        release.set()
        assert [await first, await anext(answers), await anext(answers)] == [0, 1, 2]
        with pytest.raises(DrainingError):
            await anext(answers)

    asyncio.run(scene())


def test_no_more_than_the_window_is_read_while_nothing_is_answered() -> None:
    async def scene() -> None:
        release = asyncio.Event()
        questions = Questions(100)

        async def answer(item: int) -> int:
            await release.wait()
            return item

        answers = answered(aiter(questions), answer, window=5, closed=asyncio.Event())
        first = asyncio.ensure_future(anext(answers))
        await asyncio.sleep(0.01)
        assert questions.read == 5
        release.set()
        await first
        await answers.aclose()

    asyncio.run(scene())


def test_a_consumer_that_takes_no_answers_stops_the_reading() -> None:
    async def scene() -> None:
        questions = Questions(100)

        async def answer(item: int) -> int:
            return item

        answers = answered(aiter(questions), answer, window=5, closed=asyncio.Event())
        await anext(answers)
        await asyncio.sleep(0.01)
        assert questions.read <= 6
        await answers.aclose()

    asyncio.run(scene())


def test_closing_the_answers_cancels_what_is_in_flight() -> None:
    async def scene() -> None:
        cancelled: list[int] = []

        async def answer(item: int) -> int:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(item)
                raise
            return item

        answers = answered(aiter(Questions(9)), answer, window=3, closed=asyncio.Event())
        first = asyncio.ensure_future(anext(answers))
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert sorted(cancelled) == [0, 1, 2]

    asyncio.run(scene())


@pytest.mark.parametrize("endless", [True, False])
def test_when_the_door_closes_what_was_read_is_answered_and_then_the_stream_ends(endless: bool) -> None:
    async def scene() -> None:
        closed, release = asyncio.Event(), asyncio.Event()

        async def questions() -> AsyncIterator[int]:
            yield 0
            yield 1
            if endless:
                await asyncio.sleep(60)
            yield 2

        async def answer(item: int) -> int:
            await release.wait()
            return item

        answers = answered(questions(), answer, window=2 if not endless else 9, closed=closed)
        first = asyncio.ensure_future(anext(answers))
        await asyncio.sleep(0.01)
        closed.set()
        await asyncio.sleep(0.01)
        release.set()
        assert {await first, await anext(answers)} == {0, 1}
        with pytest.raises(DrainingError):
            await anext(answers)

    asyncio.run(scene())


def test_items_that_ended_before_the_door_closed_end_without_an_error() -> None:
    async def scene() -> None:
        closed = asyncio.Event()

        async def answer(item: int) -> int:
            await asyncio.sleep(0.01)
            closed.set()
            return item

        answers = answered(aiter(Questions(1)), answer, window=4, closed=closed)
        assert [item async for item in answers] == [0]

    asyncio.run(scene())
