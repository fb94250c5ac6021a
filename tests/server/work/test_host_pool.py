from __future__ import annotations

import asyncio
import threading
import time

import pytest

from boxmask_core.errors import DeadlineError
from boxmask_server.work.host_pool import HostPool
from boxmask_server.work.urgency import Priority, Urgency


def test_a_result_and_an_error_reach_the_caller() -> None:
    async def scene() -> None:
        async with HostPool(1) as pool:
            assert await pool.run(divmod, 7, 3) == (2, 1)
            with pytest.raises(ZeroDivisionError):
                await pool.run(divmod, 7, 0)

    asyncio.run(scene())


def test_work_of_a_caller_that_left_before_a_worker_was_free_never_runs() -> None:
    async def scene() -> None:
        gate = threading.Event()
        ran: list[str] = []
        async with HostPool(1) as pool:
            first = asyncio.create_task(pool.run(gate.wait))
            second = asyncio.create_task(pool.run(ran.append, "second"))
            await asyncio.sleep(0.01)
            second.cancel()
            await asyncio.sleep(0)
            gate.set()
            await asyncio.gather(first, second, return_exceptions=True)
            await pool.run(ran.append, "third")
        assert ran == ["third"]

    asyncio.run(scene())


def test_who_waits_for_an_answer_goes_first() -> None:
    async def scene() -> None:
        gate, order = threading.Event(), list[int]()
        async with HostPool(1) as pool:
            held = asyncio.create_task(pool.run(gate.wait))
            await asyncio.sleep(0.01)
            bulk = Urgency(Priority.BULK)
            tasks = [asyncio.create_task(pool.run_for(bulk, order.append, n)) for n in (100, 101)]
            tasks += [asyncio.create_task(pool.run(order.append, n)) for n in (1, 2)]
            await asyncio.sleep(0.01)
            assert (pool.waiting(Priority.INTERACTIVE), pool.waiting(Priority.BULK)) == (2, 2)
            gate.set()
            await asyncio.gather(held, *tasks)
        assert order == [1, 2, 100, 101]

    asyncio.run(scene())


def test_work_whose_deadline_is_past_never_runs() -> None:
    async def scene() -> None:
        gate, ran = threading.Event(), list[str]()
        async with HostPool(1) as pool:
            first = asyncio.create_task(pool.run(gate.wait))
            urgency = Urgency(deadline=time.monotonic() + 0.01)
            late = asyncio.create_task(pool.run_for(urgency, ran.append, "late"))
            await asyncio.sleep(0.03)
            gate.set()
            with pytest.raises(DeadlineError):
                await late
            await first
        assert ran == []

    asyncio.run(scene())


def test_a_thread_outlives_whatever_its_work_raises() -> None:
    class Odd(BaseException):
        pass

    def leave() -> None:
        raise Odd

    async def scene() -> None:
        async with HostPool(1) as pool:
            with pytest.raises(Odd):
                await pool.run(leave)
            assert await pool.run(divmod, 7, 3) == (2, 1)

    asyncio.run(scene())


def test_work_that_does_not_end_shows() -> None:
    async def scene() -> None:
        gate = threading.Event()
        async with HostPool(2) as pool:
            assert pool.stalled_for() == 0
            task = asyncio.create_task(pool.run(gate.wait))
            await asyncio.sleep(0.05)
            assert 0.03 < pool.stalled_for() < 5
            gate.set()
            await task
            await asyncio.sleep(0.01)
            assert pool.stalled_for() == 0

    asyncio.run(scene())


def test_closing_drops_what_waits() -> None:
    async def scene() -> None:
        gate, ran = threading.Event(), list[str]()
        async with HostPool(1) as pool:
            running = asyncio.create_task(pool.run(gate.wait))
            waiting = asyncio.create_task(pool.run(ran.append, "waited"))
            await asyncio.sleep(0.01)
            asyncio.get_running_loop().call_later(0.05, gate.set)
        assert await running
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(RuntimeError, match="closed"):
            await pool.run(ran.append, "late")
        assert ran == []

    asyncio.run(scene())
