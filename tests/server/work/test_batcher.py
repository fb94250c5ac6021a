from __future__ import annotations

import asyncio
import random
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxmask_core.errors import DrainingError
from boxmask_server.work.batcher import Batcher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


class Machine:
    """Doubles numbers, remembers its batches, and can be held in mid-run."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.free = threading.Event()
        self.free.set()

    def run(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.free.wait()
        if any(item < 0 for item in items):
            raise ValueError("poison")
        return [2 * item for item in items]


def test_a_lone_item_leaves_at_once() -> None:
    machine = Machine()

    async def scene(batcher: Batcher[int, int]) -> None:
        assert await batcher.submit(3) == 6

    _run(machine, scene)
    assert machine.batches == [[3]]


def test_items_submitted_together_leave_together() -> None:
    machine = Machine()

    async def scene(batcher: Batcher[int, int]) -> None:
        assert await asyncio.gather(*map(batcher.submit, range(3))) == [0, 2, 4]

    _run(machine, scene, max_batch=4)
    assert machine.batches == [[0, 1, 2]]


def test_what_arrives_while_a_batch_runs_forms_the_next_one() -> None:
    machine = Machine()

    async def scene(batcher: Batcher[int, int]) -> None:
        machine.free.clear()
        tasks = [asyncio.create_task(batcher.submit(0))]
        await _until(lambda: machine.batches == [[0]])
        for item in (1, 2, 3):
            tasks.append(asyncio.create_task(batcher.submit(item)))
            await asyncio.sleep(0)
        machine.free.set()
        assert await asyncio.gather(*tasks) == [0, 2, 4, 6]

    _run(machine, scene, max_batch=4)
    assert machine.batches == [[0], [1, 2, 3]]


def test_what_has_most_work_behind_it_comes_first_in_its_batch_and_is_answered_first() -> None:
    machine = Machine()

    async def scene(batcher: Batcher[int, int]) -> None:
        machine.free.clear()
        answered: list[int] = []

        async def ask(item: int, work: float) -> None:
            answered.append(await batcher.submit(item, work))

        tasks = [asyncio.create_task(ask(0, 0))]
        await _until(lambda: machine.batches == [[0]])
        for item, work in ((1, 10.0), (2, 30.0), (3, 20.0), (4, 99.0)):
            tasks.append(asyncio.create_task(ask(item, work)))
            await asyncio.sleep(0)
        machine.free.set()
        await asyncio.gather(*tasks)
        assert answered == [0, 4, 6, 2, 8]

    _run(machine, scene, max_batch=3)
    assert machine.batches == [[0], [2, 3, 1], [4]]


def test_one_full_batch_is_sent_ahead_and_no_second() -> None:
    machine = Machine()

    async def scene(batcher: Batcher[int, int]) -> None:
        machine.free.clear()
        tasks = [asyncio.create_task(batcher.submit(item)) for item in range(6)]
        await _until(lambda: len(machine.batches) == 2)
        await asyncio.sleep(0.01)
        assert machine.batches == [[0, 1], [2, 3]]
        machine.free.set()
        await asyncio.gather(*tasks)

    _run(machine, scene, max_batch=2)
    assert machine.batches == [[0, 1], [2, 3], [4, 5]]


def test_a_caller_that_leaves_the_queue_costs_nothing() -> None:
    machine = Machine()

    async def scene(batcher: Batcher[int, int]) -> None:
        machine.free.clear()
        tasks = [asyncio.create_task(batcher.submit(0))]
        await _until(lambda: machine.batches == [[0]])
        tasks += [asyncio.create_task(batcher.submit(item)) for item in (1, 2, 3)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        machine.free.set()
        assert await asyncio.gather(*tasks[:2], tasks[3]) == [0, 2, 6]

    _run(machine, scene, max_batch=4)
    assert machine.batches == [[0], [1, 3]]


def test_a_caller_that_leaves_a_running_batch_does_not_hang_its_mates() -> None:
    machine = Machine()

    async def scene(batcher: Batcher[int, int]) -> None:
        machine.free.clear()
        tasks = [asyncio.create_task(batcher.submit(item)) for item in (1, 2, 3)]
        await _until(lambda: machine.batches == [[1, 2, 3]])
        tasks[1].cancel()
        await asyncio.sleep(0)
        machine.free.set()
        assert await asyncio.gather(*tasks[::2]) == [2, 6]
        assert await batcher.submit(4) == 8

    _run(machine, scene, max_batch=4)


def test_a_batch_holds_one_kind_that_of_the_item_that_waits_longest() -> None:
    machine = Machine()

    async def scene() -> None:
        batcher = Batcher[int, int](machine.run, max_batch=3, capacity=20, kind=lambda item: item % 2)
        machine.free.clear()
        tasks = [asyncio.create_task(batcher.submit(100))]
        await _until(lambda: machine.batches == [[100]])
        tasks += [asyncio.create_task(batcher.submit(item)) for item in (1, 2, 4, 3, 6, 8, 5, 7)]
        await _until(lambda: len(machine.batches) == 2)  # a full batch is prepared, the odd ones came first
        machine.free.set()
        await asyncio.gather(*tasks)
        await batcher.close()

    asyncio.run(scene())
    assert machine.batches == [[100], [1, 3, 5], [2, 4, 6], [8], [7]]


def test_a_kind_that_is_rare_is_not_left_waiting_by_one_that_is_common() -> None:
    machine = Machine()

    async def scene() -> None:
        batcher = Batcher[int, int](machine.run, max_batch=2, capacity=200, kind=lambda item: item % 2)
        common = [asyncio.create_task(batcher.submit(2 * n)) for n in range(4)]
        rare = asyncio.create_task(batcher.submit(1))
        common += [asyncio.create_task(batcher.submit(2 * n)) for n in range(4, 50)]
        assert await rare == 2
        assert sum(task.done() for task in common) < 12
        await asyncio.gather(*common)
        await batcher.close()

    asyncio.run(scene())


def test_a_poisoned_item_fails_alone() -> None:
    async def scene(batcher: Batcher[int, int]) -> None:
        results = await asyncio.gather(*map(batcher.submit, (1, -1, 3)), return_exceptions=True)
        assert results[0] == 2
        assert isinstance(results[1], ValueError)
        assert results[2] == 6
        assert await batcher.submit(4) == 8

    _run(Machine(), scene, max_batch=4)


def test_a_wrong_number_of_results_is_an_error_and_never_a_wrong_answer() -> None:
    async def scene() -> None:
        batcher = Batcher[int, int](lambda _items: [1, 2, 3], max_batch=4, capacity=8)
        results = await asyncio.gather(*map(batcher.submit, (1, 2)), return_exceptions=True)
        assert [type(result) for result in results] == [ValueError, ValueError]
        await batcher.close()

    asyncio.run(scene())


def test_callers_beyond_the_capacity_wait_at_the_door() -> None:
    machine = Machine()

    async def scene(batcher: Batcher[int, int]) -> None:
        machine.free.clear()
        tasks = [asyncio.create_task(batcher.submit(item)) for item in range(5)]
        await _until(lambda: len(machine.batches) == 2)
        tasks[0].cancel()  # makes room for one more, that of item 3
        await asyncio.sleep(0.01)
        machine.free.set()
        assert await asyncio.gather(*tasks[1:]) == [2, 4, 6, 8]

    _run(machine, scene, max_batch=1, capacity=3)
    assert sorted(map(tuple, machine.batches)) == [(0,), (1,), (2,), (3,), (4,)]


def test_closing_answers_what_is_held_and_refuses_what_comes() -> None:
    machine = Machine()

    async def scene() -> None:
        batcher = Batcher[int, int](machine.run, max_batch=2, capacity=8)
        machine.free.clear()
        tasks = [asyncio.create_task(batcher.submit(item)) for item in range(5)]
        await _until(lambda: bool(machine.batches))
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(DrainingError):
            await batcher.submit(9)
        machine.free.set()
        assert await asyncio.gather(*tasks) == [0, 2, 4, 6, 8]
        await closing

    asyncio.run(scene())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), max_batch=st.integers(1, 7), capacity=st.integers(1, 20))
def test_in_a_storm_of_cancellations_and_poison_every_caller_gets_its_own_answer(
    seed: int, max_batch: int, capacity: int
) -> None:
    chance = random.Random(seed)
    machine = Machine()

    async def caller(batcher: Batcher[int, int], item: int) -> int:
        await asyncio.sleep(chance.random() * 0.002)
        return await batcher.submit(item)

    async def scene(batcher: Batcher[int, int]) -> None:
        items = [chance.choice((-1, 1)) * n if chance.random() < 0.2 else n for n in range(1, 41)]
        tasks = [asyncio.create_task(caller(batcher, item)) for item in items]
        for task in tasks:
            if chance.random() < 0.3:
                await asyncio.sleep(0)
                task.cancel()
        for item, result in zip(items, await asyncio.gather(*tasks, return_exceptions=True), strict=True):
            expected = ValueError if item < 0 else int
            assert isinstance(result, (asyncio.CancelledError, expected))
            if isinstance(result, int):
                assert result == 2 * item

    _run(machine, scene, max_batch=max_batch, capacity=capacity)
    assert max(map(len, machine.batches), default=0) <= max_batch


def _run(
    machine: Machine,
    scene: Callable[[Batcher[int, int]], Awaitable[None]],
    max_batch: int = 2,
    capacity: int = 16,
) -> None:
    async def main() -> None:
        batcher = Batcher[int, int](machine.run, max_batch=max_batch, capacity=capacity)
        await asyncio.wait_for(scene(batcher), 10)
        await batcher.close()

    asyncio.run(main())


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)
