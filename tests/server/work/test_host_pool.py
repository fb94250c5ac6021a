from __future__ import annotations

import asyncio
import threading

import pytest

from boxmask_server.work.host_pool import HostPool


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
