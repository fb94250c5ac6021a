"""The way of messages to servers and back, for an event loop."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import grpc
import grpc.aio

from boxmask_client.attempts import Attempts
from boxmask_client.errors import ServerError
from boxmask_client.rotation import READY, UNDECIDED, Rotation
from boxmask_client.rpcs import STREAM_PSEUDO_LABEL, Request, Response, Rpc, serialize
from boxmask_client.statuses import from_rpc_error
from boxmask_client.transport import closed, late

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from boxmask_client.connection import Connection

Given = TypeVar("Given", covariant=True)


class AsyncAnswers(Protocol[Given]):
    """The answers of a stream, as they come."""

    def __aiter__(self) -> AsyncIterator[Given]:
        """Yields them.

        Raises:
            ServerError: The stream broke.
        """

    def cancel(self) -> None:
        """Ends the stream."""


class AsyncTransport(Protocol):
    """Carries messages to servers and back; see `boxmask_client.transport.Transport`."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The servers' addresses."""

    async def ask(
        self,
        rpc: Rpc[Request, Response],
        request: Request,
        *,
        timeout: float | None,
        request_id: str,
        wait_for_ready: bool = False,
        lane: int | None = None,
    ) -> Response:
        """Asks one question, again where that is of use.

        Raises:
            ServerError: The call failed.
        """

    async def connect(self, lane: int, *, timeout: float | None, request_id: str) -> None:
        """Waits until a server is reached.

        Raises:
            ServerError: It cannot be reached.
        """

    def stream(
        self,
        rpc: Rpc[Request, Response],
        requests: AsyncIterator[Request],
        *,
        lane: int,
        timeout: float | None,
        request_id: str,
    ) -> AsyncAnswers[Response]:
        """Opens a stream to one server.

        Raises:
            ServerError: The connection is closed.
        """

    async def close(self) -> None:
        """Gives the connections back; calls that run are cancelled."""


class AsyncGrpcTransport:
    """A transport over one gRPC channel for each address.

    Args:
        connection: Where the servers are, and how they are spoken to.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rotation = Rotation()
        self._opened: tuple[grpc.aio.Channel, ...] = ()
        self._closed = False

    @property
    def targets(self) -> tuple[str, ...]:
        """See `AsyncTransport.targets`."""
        return self._connection.targets

    async def ask(
        self,
        rpc: Rpc[Request, Response],
        request: Request,
        *,
        timeout: float | None,
        request_id: str,
        wait_for_ready: bool = False,
        lane: int | None = None,
    ) -> Response:
        """See `AsyncTransport.ask`."""
        attempts = Attempts(self._connection.retry, timeout)
        while True:
            place = await self._choose(attempts, wait_for_ready) if lane is None else lane
            try:
                with self._errors(request_id):
                    call = self._channels()[place].unary_unary(rpc.path, serialize, rpc.response.FromString)
                    return await call(
                        request,
                        timeout=attempts.remaining(),
                        metadata=self._connection.metadata(request_id),
                        wait_for_ready=wait_for_ready and not self._connection.balances,
                    )
            except ServerError as error:
                if lane is not None:
                    raise
                await asyncio.sleep(attempts.pause(error, place, self._states()))

    async def connect(self, lane: int, *, timeout: float | None, request_id: str) -> None:
        """See `AsyncTransport.connect`."""
        channel = self._channels()[lane]
        try:
            async with asyncio.timeout(timeout):
                while (state := channel.get_state(try_to_connect=True)) in UNDECIDED:
                    await channel.wait_for_state_change(state)
        except TimeoutError:
            raise late(timeout, self.targets) from None
        if state is READY:
            return
        # A stream without questions gets gRPC's own sentence on what is wrong.
        probe = self.stream(
            STREAM_PSEUDO_LABEL, _nothing(), lane=lane, timeout=timeout, request_id=request_id
        )
        async for _ in probe:
            pass

    def stream(
        self,
        rpc: Rpc[Request, Response],
        requests: AsyncIterator[Request],
        *,
        lane: int,
        timeout: float | None,
        request_id: str,
    ) -> AsyncAnswers[Response]:
        """See `AsyncTransport.stream`."""
        with self._errors(request_id):
            call = self._channels()[lane].stream_stream(rpc.path, serialize, rpc.response.FromString)
            opened = call(timeout=timeout, metadata=self._connection.metadata(request_id))
            return _Answers(opened, requests, request_id)

    async def close(self) -> None:
        """See `AsyncTransport.close`."""
        self._closed = True
        for channel in self._opened:
            await channel.close()

    def _channels(self) -> tuple[grpc.aio.Channel, ...]:
        """Opens the channels at first use: they belong to the event loop that runs then."""
        if self._closed:
            raise closed()
        if not self._opened:
            self._opened = tuple(open_channel(self._connection, target) for target in self.targets)
        return self._opened

    def _states(self) -> list[grpc.ChannelConnectivity]:
        return [channel.get_state(try_to_connect=True) for channel in self._channels()]

    async def _choose(self, attempts: Attempts, wait_for_ready: bool) -> int:
        if not self._connection.balances:
            return 0
        while True:
            states = self._states()
            place = self._rotation.choose(states, attempts.tried, wait_for_ready=wait_for_ready)
            if place is not None:
                return place
            if not await self._change(states, attempts.remaining()):
                raise late(attempts.timeout, self.targets)

    async def _change(self, states: list[grpc.ChannelConnectivity], timeout: float | None) -> bool:
        """Waits until a channel's state is another; False where none was in time."""
        changes = [
            asyncio.ensure_future(channel.wait_for_state_change(state))
            for channel, state in zip(self._channels(), states, strict=True)
        ]
        try:
            done, _ = await asyncio.wait(changes, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for change in changes:
                change.cancel()
            await asyncio.gather(*changes, return_exceptions=True)
        return bool(done)

    @contextmanager
    def _errors(self, request_id: str) -> Iterator[None]:
        try:
            yield
        except (grpc.RpcError, grpc.aio.UsageError) as error:
            if self._closed:
                raise closed() from error
            if isinstance(error, grpc.RpcError):
                raise from_rpc_error(error, request_id) from error
            raise
        except asyncio.CancelledError:
            if was_cancelled():
                raise
            raise closed() from None


class _Answers(Generic[Response]):
    """The answers of a gRPC stream, whose questions it sends.

    gRPC would send them itself, but where a server goes just then, it would say that the call was cancelled.
    """

    def __init__(self, call: Any, requests: AsyncIterator[Any], request_id: str) -> None:
        self._call = call  # gRPC's type of it is not generic
        self._request_id = request_id
        self._sending = asyncio.create_task(self._send(requests))

    async def __aiter__(self) -> AsyncIterator[Response]:
        try:
            async for answer in self._call:
                yield answer
        except grpc.RpcError as error:
            raise from_rpc_error(error, self._request_id) from error
        except asyncio.CancelledError:
            if was_cancelled():
                raise
            raise closed() from None
        finally:
            self._sending.cancel()

    def cancel(self) -> None:
        self._call.cancel()
        self._sending.cancel()

    async def _send(self, requests: AsyncIterator[Any]) -> None:
        with suppress(Exception):  # whatever is wrong with the call, its reader is told
            async for request in requests:
                await self._call.write(request)
            await self._call.done_writing()


def open_channel(connection: Connection, target: str) -> grpc.aio.Channel:
    """Opens a channel in the running event loop; it connects when it is first needed."""
    options, compression = connection.options(target), connection.compression
    if connection.credentials is None:
        return grpc.aio.insecure_channel(target, options, compression)
    return grpc.aio.secure_channel(target, connection.credentials, options, compression)


def was_cancelled() -> bool:
    """Returns whether the running task was; if not, it is its call that was, by the client's end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _nothing() -> AsyncIterator[Any]:
    return
    yield
