from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from boxmask_server.operation.liveness import Liveness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

SERVICE = "boxmask.v1.LabelingService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def test_health_turns_while_a_batch_stalls_and_back_when_it_ends(
    socket: str, caplog: pytest.LogCaptureFixture
) -> None:
    stalled = [0.0]

    async def scene() -> None:
        servicer = health.aio.HealthServicer()
        async with _asked(servicer, socket) as ask:
            liveness = Liveness(servicer, [SERVICE], lambda: stalled[0], stall_seconds=0.05)
            await liveness.announce()
            async with liveness.open():
                for seconds, status in ((0.01, SERVING), (0.06, NOT_SERVING), (0.0, SERVING)):
                    stalled[0] = seconds
                    await asyncio.wait_for(_becomes(ask, status), 20)

    asyncio.run(scene())
    assert ["NOT_SERVING" in caplog.messages[0], "SERVING again" in caplog.messages[1]] == [True, True]


def test_a_server_that_drains_is_not_called_well_again(socket: str) -> None:
    stalled = [1.0]

    async def scene() -> None:
        servicer = health.aio.HealthServicer()
        async with _asked(servicer, socket) as ask:
            liveness = Liveness(servicer, [SERVICE], lambda: stalled[0], stall_seconds=0.05)
            await liveness.announce()
            async with liveness.open():
                await asyncio.wait_for(_becomes(ask, NOT_SERVING), 20)
                await servicer.enter_graceful_shutdown()
                stalled[0] = 0.0
                await asyncio.sleep(0.1)
                assert [await ask(name) for name in ("", SERVICE)] == [NOT_SERVING, NOT_SERVING]

    asyncio.run(scene())


async def _becomes(ask: _Ask, status: int) -> None:
    while [await ask(name) for name in ("", SERVICE)] != [status, status]:
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def _asked(servicer: health.aio.HealthServicer, socket: str) -> AsyncIterator[_Ask]:
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(socket)
    await server.start()
    async with grpc.aio.insecure_channel(socket) as channel:
        yield _Ask(channel)
    await server.stop(0)


class _Ask:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = health_pb2_grpc.HealthStub(channel)

    async def __call__(self, service: str) -> int:
        response = await self._stub.Check(  # type: ignore[attr-defined]  # types-grpcio leaves methods out
            health_pb2.HealthCheckRequest(service=service)
        )
        return int(response.status)
