"""Sends what a plan holds, and notes when and how it was answered."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Final

import grpc

from benchmarks.load.plan import OpenLoop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.load.plan import ClosedLoop, Plan

ANSWERED: Final = grpc.StatusCode.OK.name
UNLIMITED: Final = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came of it. All times are seconds from the beginning of the load.

    Attributes:
        call: Which of the plan's calls it was.
        scheduled: When it was due. In a closed loop, when its caller was free.
        sent: When the client sent it.
        done: When the answer or the refusal was there.
        code: Name of the gRPC status code.
    """

    call: int
    scheduled: float
    sent: float
    done: float
    code: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a plan.

    Attributes:
        exchanges: Every request, in the order in which they were done.
        seconds: From the beginning to the last answer.
        client_cpu: Processor time that the client took meanwhile, seconds, over all its threads.
    """

    exchanges: tuple[Exchange, ...]
    seconds: float
    client_cpu: float


def drive_apart(plan: Plan) -> Outcome:
    """Carries out a plan in a process of its own, whose event loop and interpreter serve nothing else.

    Raises:
        TimeoutError: The server cannot be reached in the time that one request has.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_drive_here, plan).result()


async def drive(plan: Plan) -> Outcome:
    """Carries out a plan in this event loop.

    Raises:
        TimeoutError: The server cannot be reached in the time that one request has.
    """
    async with grpc.aio.insecure_channel(plan.address, options=UNLIMITED) as channel:
        sender = _Sender(plan, channel)
        await sender.warm_up()
        cpu, sender.start = time.process_time(), perf_counter()
        if isinstance(plan.load, OpenLoop):
            await sender.open_loop(plan.load)
        else:
            await sender.closed_loop(plan.load)
        return Outcome(tuple(sender.exchanges), sender.now(), time.process_time() - cpu)


@dataclass(slots=True)
class _Sender:
    plan: Plan
    channel: grpc.aio.Channel
    start: float = 0.0
    exchanges: list[Exchange] = field(default_factory=list)

    def now(self) -> float:
        return perf_counter() - self.start

    async def warm_up(self) -> None:
        await asyncio.wait_for(self.channel.channel_ready(), self.plan.timeout)
        for number in range(self.plan.warm_up):
            await self._send(number)

    async def open_loop(self, load: OpenLoop) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number, scheduled in enumerate(load.times):
                await asyncio.sleep(scheduled - self.now())
                tasks.create_task(self._exchange(number, scheduled))

    async def closed_loop(self, load: ClosedLoop) -> None:
        numbers = iter(range(load.requests))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(load.callers):
                tasks.create_task(self._caller(load, numbers))

    async def _caller(self, load: ClosedLoop, numbers: Iterator[int]) -> None:
        while (free := self.now()) < load.seconds:
            number = next(numbers, None)
            if number is None:
                return
            await self._exchange(number, free)

    async def _exchange(self, number: int, scheduled: float) -> None:
        sent = self.now()
        code = await self._send(number)
        self.exchanges.append(Exchange(number % len(self.plan.calls), scheduled, sent, self.now(), code))

    async def _send(self, number: int) -> str:
        call = self.plan.calls[number % len(self.plan.calls)]
        # Without serializers the bytes go out as they are: the client's cores are the server's too.
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(call.method)
        try:
            await method(call.payload, timeout=self.plan.timeout)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return ANSWERED


def _drive_here(plan: Plan) -> Outcome:
    return asyncio.run(drive(plan))
