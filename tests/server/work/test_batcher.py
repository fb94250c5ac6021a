from __future__ import annotations

import asyncio
import random
import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxmask_core.errors import DeadlineError, DrainingError
from boxmask_server.work.batcher import Batcher, Budget, Measure
from boxmask_server.work.observer import Observer
from boxmask_server.work.urgency import AT_ONCE, Priority, Urgency

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


class Machine:
    """Doubles numbers, remembers its batches, and can be held in mid-run."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.urgencies: list[Urgency] = []
        self.free = threading.Event()
        self.free.set()

    async def run(self, items: Sequence[int], urgency: Urgency) -> list[int]:
        self.urgencies.append(urgency)
        return await asyncio.to_thread(self.work, items)

    def work(self, items: Sequence[int]) -> list[int]:
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
            answered.append(await batcher.submit(item, work=work))

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


def test_a_batch_leaves_beside_another_only_where_a_crowd_waits() -> None:
    machine = Machine()

    async def scene() -> None:
        batcher = _batcher(machine.run, max_batch=1, capacity=16, crowd=2)
        machine.free.clear()
        tasks = [asyncio.create_task(batcher.submit(0))]
        await _until(lambda: machine.batches == [[0]])
        tasks.append(asyncio.create_task(batcher.submit(1)))
        await asyncio.sleep(0.01)
        assert machine.batches == [[0]]
        tasks.append(asyncio.create_task(batcher.submit(2)))
        await _until(lambda: len(machine.batches) == 2)
        machine.free.set()
        assert await asyncio.gather(*tasks) == [0, 2, 4]
        await batcher.close()

    asyncio.run(scene())
    assert machine.batches == [[0], [1], [2]]


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
        batcher = _batcher(machine.run, max_batch=3, capacity=20, measure=lambda item: Measure(item % 2))
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
        batcher = _batcher(machine.run, max_batch=2, capacity=200, measure=lambda item: Measure(item % 2))
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
        async def run(items: Sequence[int], urgency: Urgency) -> list[int]:  # noqa: ARG001 - a run's signature
            return [1, 2, 3]

        batcher = _batcher(run, max_batch=4, capacity=8)
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
        batcher = _batcher(machine.run, max_batch=2, capacity=8)
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


def test_a_batch_is_halved_until_the_poison_is_found() -> None:
    machine = Machine()

    async def scene(batcher: Batcher[int, int]) -> None:
        items = [1, 2, 3, 4, 5, -6, 7, 8]
        results = await asyncio.gather(*map(batcher.submit, items), return_exceptions=True)
        assert [result for result in results if isinstance(result, int)] == [2, 4, 6, 8, 10, 14, 16]
        assert isinstance(results[5], ValueError)

    _run(machine, scene, max_batch=8)
    # Seven runs, not nine: the halves that are whole answer together.
    assert [len(batch) for batch in machine.batches] == [8, 4, 4, 2, 1, 1, 2]


def test_a_batch_holds_no_more_cost_than_its_budget_and_one_large_item_goes_alone() -> None:
    machine = Machine()

    async def scene() -> None:
        batcher = _batcher(
            machine.run, max_batch=10, max_cost=100, capacity=20, measure=lambda item: Measure(cost=item)
        )
        machine.free.clear()
        tasks = [asyncio.create_task(batcher.submit(1))]
        await _until(lambda: machine.batches == [[1]])
        tasks += [asyncio.create_task(batcher.submit(item)) for item in (60, 40, 30, 500, 20)]
        await asyncio.sleep(0.01)
        machine.free.set()
        await asyncio.gather(*tasks)
        await batcher.close()

    asyncio.run(scene())
    assert machine.batches == [[1], [60, 40], [30], [500], [20]]


def test_who_waits_for_an_answer_goes_before_bulk_and_bulk_is_not_starved() -> None:
    machine = Machine()
    bulk = Urgency(Priority.BULK)

    async def scene(batcher: Batcher[int, int]) -> None:
        machine.free.clear()
        tasks = [asyncio.create_task(batcher.submit(0))]
        await _until(lambda: machine.batches == [[0]])
        tasks += [asyncio.create_task(batcher.submit(100 + n, urgency=bulk)) for n in range(3)]
        tasks += [asyncio.create_task(batcher.submit(n)) for n in range(1, 20)]
        await asyncio.sleep(0.01)
        machine.free.set()
        await asyncio.gather(*tasks)

    _run(machine, scene, max_batch=1, capacity=64)
    order = [item for (item,) in machine.batches]
    assert order.index(100) > order.index(1)
    places = [order.index(100 + n) for n in range(3)]
    assert places == sorted(places)
    # At most seven interactive ones between two of bulk.
    assert all(later - earlier <= 8 for earlier, later in zip([0, *places], places, strict=False))


def test_an_interactive_item_finds_room_while_bulk_fills_the_batcher() -> None:
    machine = Machine()
    bulk = Urgency(Priority.BULK)

    async def scene(batcher: Batcher[int, int]) -> None:
        machine.free.clear()
        tasks = [asyncio.create_task(batcher.submit(n, urgency=bulk)) for n in range(40)]
        await asyncio.sleep(0.01)
        urgent = asyncio.create_task(batcher.submit(500))
        await asyncio.sleep(0.01)
        machine.free.set()
        await urgent
        assert [500] in machine.batches[:4]  # behind the two that had left, and no others
        await asyncio.gather(*tasks)

    _run(machine, scene, max_batch=1, capacity=8)


def test_an_item_that_cannot_be_in_time_is_dropped_before_it_costs_a_run() -> None:
    machine, seen = Machine(), Seen()

    async def scene(batcher: Batcher[int, int]) -> None:
        machine.free.clear()
        first = asyncio.create_task(batcher.submit(0))
        await _until(lambda: machine.batches == [[0]])
        late = asyncio.create_task(batcher.submit(1, urgency=Urgency(deadline=time.monotonic() + 0.02)))
        patient = asyncio.create_task(batcher.submit(2, urgency=Urgency(deadline=time.monotonic() + 60)))
        await asyncio.sleep(0.05)
        machine.free.set()
        with pytest.raises(DeadlineError):
            await late
        assert (await first, await patient) == (0, 4)
        # The first run took 50 ms: who allows less than that is not worth a try.
        with pytest.raises(DeadlineError):
            await batcher.submit(3, urgency=Urgency(deadline=time.monotonic() + 0.005))

    _run(machine, scene, max_batch=4, observer=seen)
    assert machine.batches == [[0], [2]]
    assert seen.reasons == ["deadline", "deadline"]


def test_a_batch_is_as_urgent_as_its_most_urgent_item_and_as_patient_as_its_most_patient() -> None:
    machine = Machine()
    bulk, soon, later = Urgency(Priority.BULK), time.monotonic() + 50, time.monotonic() + 99

    async def scene(batcher: Batcher[int, int]) -> None:
        await asyncio.gather(batcher.submit(1, urgency=bulk), batcher.submit(2))
        await asyncio.gather(
            *(batcher.submit(3, urgency=Urgency(Priority.BULK, deadline)) for deadline in (soon, later))
        )

    _run(machine, scene)
    assert machine.urgencies == [AT_ONCE, Urgency(Priority.BULK, later)]


def test_what_a_measure_raises_belongs_to_its_caller_alone() -> None:
    def measure(item: int) -> Measure:
        return Measure(cost=100 // item)

    async def scene() -> None:
        batcher = _batcher(Machine().run, max_batch=4, capacity=8, measure=measure)
        results = await asyncio.gather(*map(batcher.submit, (1, 0, 2)), return_exceptions=True)
        assert results[0] == 2
        assert isinstance(results[1], ZeroDivisionError)
        assert results[2] == 4
        await batcher.close()

    asyncio.run(scene())


def test_a_fault_of_the_batcher_itself_leaves_nobody_waiting_and_it_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine, seen = Machine(), Seen()

    async def scene(batcher: Batcher[int, int]) -> None:
        def broken() -> None:
            raise RuntimeError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr(batcher, "_next_batch", broken)
            results = await asyncio.gather(*map(batcher.submit, (1, 2)), return_exceptions=True)
            assert [type(result) for result in results] == [RuntimeError, RuntimeError]
        assert await batcher.submit(3) == 6

    _run(machine, scene, observer=seen)
    assert seen.restarts == ["numbers"]


def test_a_run_that_is_torn_down_answers_its_callers() -> None:
    async def scene() -> None:
        async def run(items: Sequence[int], urgency: Urgency) -> list[int]:  # noqa: ARG001
            raise asyncio.CancelledError

        batcher = _batcher(run, max_batch=4, capacity=8)
        with pytest.raises(RuntimeError, match="without an answer"):
            await asyncio.wait_for(batcher.submit(1), 5)
        await batcher.close()

    asyncio.run(scene())


def test_a_run_that_does_not_end_shows() -> None:
    machine = Machine()

    async def scene(batcher: Batcher[int, int]) -> None:
        assert batcher.stalled_for() == 0
        machine.free.clear()
        task = asyncio.create_task(batcher.submit(1))
        await asyncio.sleep(0.05)
        assert 0.03 < batcher.stalled_for() < 5
        assert batcher.waiting(Priority.INTERACTIVE) == 0
        machine.free.set()
        await task
        await asyncio.sleep(0.01)
        assert batcher.stalled_for() == 0

    _run(machine, scene)


def test_an_observer_is_told_of_every_batch() -> None:
    machine, seen = Machine(), Seen()

    async def scene() -> None:
        batcher = _batcher(
            machine.run, max_batch=4, capacity=8, measure=lambda n: Measure(cost=10 * n, padding=n),
            observer=seen,
        )  # fmt: skip
        await asyncio.gather(*map(batcher.submit, (1, 2, 3)))
        await batcher.close()

    asyncio.run(scene())
    ((name, items, cost, padding, waited, seconds),) = seen.batches
    assert (name, items, cost, padding) == ("numbers", 3, 60, 6)
    assert len(waited) == 3
    assert all(0 <= each < 5 for each in [*waited, seconds])


class Seen(Observer):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, int, int, int, Sequence[float], float]] = []
        self.reasons: list[str] = []
        self.restarts: list[str] = []

    def batch(
        self, network: str, items: int, pixels: int, padding: int, waited: Sequence[float], seconds: float
    ) -> None:
        self.batches.append((network, items, pixels, padding, waited, seconds))

    def dropped(self, reason: str) -> None:
        self.reasons.append(reason)

    def restarted(self, network: str) -> None:
        self.restarts.append(network)


def _batcher(
    run: Callable[[Sequence[int], Urgency], Awaitable[list[int]]],
    *,
    max_batch: int,
    capacity: int,
    max_cost: int | None = None,
    crowd: int = 1,
    measure: Callable[[int], Measure] = lambda _: Measure(),
    observer: Observer | None = None,
) -> Batcher[int, int]:
    return Batcher(
        run,
        name="numbers",
        budget=Budget(max_batch, max_cost),
        capacity=capacity,
        crowd=crowd,
        measure=measure,
        observer=observer,
    )


def _run(
    machine: Machine,
    scene: Callable[[Batcher[int, int]], Awaitable[None]],
    max_batch: int = 2,
    capacity: int = 16,
    observer: Observer | None = None,
) -> None:
    async def main() -> None:
        batcher = _batcher(machine.run, max_batch=max_batch, capacity=capacity, observer=observer)
        await asyncio.wait_for(scene(batcher), 10)
        await batcher.close()

    asyncio.run(main())


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)
