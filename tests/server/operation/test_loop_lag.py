from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from boxmask_server.operation.loop_lag import LoopLag

if TYPE_CHECKING:
    import pytest


def test_a_loop_that_was_kept_is_found_to_be_late() -> None:
    measured: list[float] = []

    async def scene() -> None:
        async with LoopLag(measured.append, stall_seconds=60, interval=0.01).open():
            await asyncio.sleep(0.05)
            time.sleep(0.3)  # the very mistake that is looked for
            await asyncio.sleep(0.05)

    asyncio.run(scene())
    assert 0.2 < max(measured) < 10
    assert min(measured) >= 0


def test_a_loop_that_stands_still_is_told_by_where_it_stands(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with LoopLag(lambda _: None, stall_seconds=0.1, interval=0.02).open():
            await asyncio.sleep(0.05)
            _stand_still()
            await asyncio.sleep(0.05)

    asyncio.run(scene())
    (record,) = caplog.records  # once, however long it lasts
    assert "has not turned for" in record.getMessage()
    assert "_stand_still" in record.getMessage()


def test_a_loop_that_turns_is_not_told_of(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with LoopLag(lambda _: None, stall_seconds=5, interval=0.01).open():
            await asyncio.sleep(0.1)

    asyncio.run(scene())
    assert not caplog.records


def _stand_still() -> None:
    time.sleep(0.5)
