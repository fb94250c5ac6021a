from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

import pytest

from boxmask_server.host_pool import HostPool, available_cores

if TYPE_CHECKING:
    from pathlib import Path

AFFINITY = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", AFFINITY),
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("150000 100000", min(2, AFFINITY)),
        ("6400000 100000", min(64, AFFINITY)),
    ],
)
def test_cores_follow_the_containers_quota(tmp_path: Path, quota: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert available_cores(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", AFFINITY), ("50000", 1)])
def test_cores_follow_the_quota_of_version_1_control_groups(tmp_path: Path, quota: str, cores: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert available_cores(tmp_path) == cores


def test_cores_without_control_groups_are_those_of_the_affinity(tmp_path: Path) -> None:
    assert available_cores(tmp_path) == AFFINITY


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
