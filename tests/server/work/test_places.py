from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxmask_server.work.places import Places
from boxmask_server.work.urgency import Priority

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

BULK = Priority.BULK


def test_no_more_is_taken_than_there_is_and_waiters_come_by_arrival() -> None:
    async def scene() -> None:
        places, order = Places(10), list[int]()
        async with places.hold(8):
            tasks = [asyncio.create_task(_note(places, order, amount)) for amount in (5, 1, 4)]
            await asyncio.sleep(0)
            assert (places.taken, order) == (8, [])  # the small one does not pass the one before it
        await asyncio.gather(*tasks)
        assert order == [5, 1, 4]
        assert places.taken == 0

    _within(scene())


def test_what_exceeds_the_capacity_counts_as_all_of_it_and_goes_alone() -> None:
    async def scene() -> None:
        places, order = Places(10), list[int]()
        async with places.hold(1):
            big = asyncio.create_task(_note(places, order, 500))
            await asyncio.sleep(0)
            assert not order
        await big
        assert order == [500]

    _within(scene())


def test_bulk_never_takes_all_so_who_waits_for_an_answer_finds_room() -> None:
    async def scene() -> None:
        places, order = Places(4), list[int]()
        async with places.hold(1, BULK), places.hold(1, BULK), places.hold(1, BULK):
            late = asyncio.create_task(_note(places, order, 1, BULK))
            await asyncio.sleep(0)
            assert not order
            assert not places.has_room(1, BULK)
            assert places.has_room(1, Priority.INTERACTIVE)
            await _note(places, order, 1)
        await late
        assert order == [1, 1]

    _within(scene())


def test_even_a_single_place_is_open_to_bulk() -> None:
    async def scene() -> None:
        places = Places(1)
        async with places.hold(1, BULK):
            assert not places.has_room(1, Priority.INTERACTIVE)
        assert places.has_room(1, BULK)

    _within(scene())


def test_who_leaves_while_waiting_lets_the_next_one_in() -> None:
    async def scene() -> None:
        places, order = Places(10), list[int]()
        async with places.hold(6):
            large = asyncio.create_task(_note(places, order, 9))
            small = asyncio.create_task(_note(places, order, 2))
            await asyncio.sleep(0)
            large.cancel()
            await small
        assert order == [2]
        assert (places.taken, places.waiting) == (0, 0)

    _within(scene())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), capacity=st.integers(1, 12))
def test_in_a_storm_nothing_is_lost_or_given_twice(seed: int, capacity: int) -> None:
    chance = random.Random(seed)

    async def scene() -> None:
        places = Places(capacity)

        async def visit(amount: int, priority: Priority) -> None:
            async with places.hold(amount, priority):
                assert places.taken <= capacity
                await asyncio.sleep(chance.random() * 0.001)

        tasks = [
            asyncio.create_task(visit(chance.randint(0, 15), chance.choice(list(Priority))))
            for _ in range(40)
        ]
        for task in tasks:
            if chance.random() < 0.3:
                await asyncio.sleep(0)
                task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert result is None or isinstance(result, asyncio.CancelledError)
        assert (places.taken, places.waiting) == (0, 0)

    _within(scene())


def test_a_waiter_that_is_cancelled_just_as_it_is_let_in_gives_its_room_back() -> None:
    async def scene() -> None:
        places = Places(1)
        holder = places.hold()
        await holder.__aenter__()
        waiter = asyncio.create_task(_note(places, [], 1))
        await asyncio.sleep(0)
        await holder.__aexit__(None, None, None)  # lets the waiter in, which has not run since
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert places.taken == 0

    _within(scene())


async def _note(
    places: Places, order: list[int], amount: int, priority: Priority = Priority.INTERACTIVE
) -> None:
    async with places.hold(amount, priority):
        order.append(amount)


def _within(scene: Coroutine[Any, Any, None]) -> None:
    async def main() -> None:
        await asyncio.wait_for(scene, 10)

    asyncio.run(main())
