"""Single requests, several at once: their answers are looked at, not their times."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from benchmarks.load.drive import ANSWERED, UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.load.plan import Call


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one request.

    Attributes:
        code: Name of the gRPC status code.
        payload: The serialized answer; empty where there is none.
    """

    code: str
    payload: bytes = b""

    @property
    def answered(self) -> bool:
        """Whether there is an answer."""
        return self.code == ANSWERED


@dataclass(frozen=True, slots=True)
class Departure:
    """A caller that goes away.

    Attributes:
        index: Which of the requests it made.
        after: Seconds after they were sent.
    """

    index: int
    after: float


async def ask_together(
    address: str, calls: Sequence[Call], timeout: float, departure: Departure | None = None
) -> list[Reply]:
    """Sends all requests at once.

    Args:
        address: The server.
        calls: The requests.
        timeout: Deadline of each, seconds.
        departure: Whose request is cancelled, if any.

    Returns:
        What came of each; ``CANCELLED`` of the departed.
    """
    async with grpc.aio.insecure_channel(address, options=UNLIMITED) as channel:
        await channel.channel_ready()
        asked = [_asked(channel, call, timeout) for call in calls]
        if departure is not None:
            await asyncio.sleep(departure.after)
            asked[departure.index].cancel()
        return [await _reply(each) for each in asked]


def _asked(channel: grpc.aio.Channel, call: Call, timeout: float) -> grpc.aio.UnaryUnaryCall[bytes, bytes]:
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(call.method)
    return method(call.payload, timeout=timeout)


async def _reply(asked: grpc.aio.UnaryUnaryCall[bytes, bytes]) -> Reply:
    try:
        return Reply(ANSWERED, await asked)
    except grpc.aio.AioRpcError as error:
        return Reply(error.code().name)
    except asyncio.CancelledError:
        return Reply(grpc.StatusCode.CANCELLED.name)
