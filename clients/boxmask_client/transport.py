"""The way of messages to servers and back, for threads. A test can stand in for it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import grpc

from boxmask_client.attempts import Attempts
from boxmask_client.errors import DeadlineExceededError, ServerError
from boxmask_client.rotation import READY, UNDECIDED, Rotation
from boxmask_client.rpcs import STREAM_PSEUDO_LABEL, Request, Response, Rpc, serialize
from boxmask_client.statuses import from_rpc_error
from boxmask_client.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from boxmask_client.connection import Connection

Given = TypeVar("Given", covariant=True)

POLL = 0.1
"""Seconds within which a stream that waits for its server notices that it is not wanted any more."""


class Answers(Protocol[Given]):
    """The answers of a stream, as they come."""

    def __iter__(self) -> Iterator[Given]:
        """Yields them.

        Raises:
            ServerError: The stream broke.
        """

    def cancel(self) -> None:
        """Ends the stream, from whatever thread."""


class Transport(Protocol):
    """Carries messages to servers and back. Threads share it.

    Attributes:
        targets: The servers' addresses; a lane is the place of one.
    """

    @property
    def targets(self) -> tuple[str, ...]:
        """See above."""

    def ask(
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

        Args:
            rpc: What to call.
            request: The question.
            timeout: Seconds for all attempts together; None for no limit.
            request_id: What the call is called in the server's log.
            wait_for_ready: Whether to wait for a server that is not there yet.
            lane: The server to ask; None for any.

        Raises:
            ServerError: The call failed.
        """

    def connect(
        self, lane: int, *, timeout: float | None, request_id: str, stopped: Callable[[], bool]
    ) -> None:
        """Waits until a server is reached, or until ``stopped`` says that nobody wants it any more.

        Raises:
            ServerError: It cannot be reached.
        """

    def stream(
        self,
        rpc: Rpc[Request, Response],
        requests: Iterator[Request],
        *,
        lane: int,
        timeout: float | None,
        request_id: str,
    ) -> Answers[Response]:
        """Opens a stream to one server; the requests are pulled by a thread of the transport's own.

        Raises:
            ServerError: The connection is closed.
        """

    def close(self) -> None:
        """Gives the connections back; calls that run are cancelled."""


class GrpcTransport:
    """A transport over one gRPC channel for each address.

    Args:
        connection: Where the servers are, and how they are spoken to.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rotation = Rotation()
        self._channels = tuple(open_channel(connection, target) for target in connection.targets)
        self._watch = Watch(self._channels)
        self._broken: set[int] = set()
        self._closed = False

    @property
    def targets(self) -> tuple[str, ...]:
        """See `Transport.targets`."""
        return self._connection.targets

    def ask(
        self,
        rpc: Rpc[Request, Response],
        request: Request,
        *,
        timeout: float | None,
        request_id: str,
        wait_for_ready: bool = False,
        lane: int | None = None,
    ) -> Response:
        """See `Transport.ask`."""
        attempts = Attempts(self._connection.retry, timeout)
        while True:
            place = self._choose(attempts, wait_for_ready) if lane is None else lane
            try:
                with self._errors(request_id):
                    call = self._channels[place].unary_unary(rpc.path, serialize, rpc.response.FromString)
                    return call(
                        request,
                        timeout=attempts.remaining(),
                        metadata=self._connection.metadata(request_id),
                        # Of several servers, one that is ready was chosen; if it goes, another is to be.
                        wait_for_ready=wait_for_ready and not self._connection.balances,
                    )
            except ServerError as error:
                if lane is not None:
                    raise
                time.sleep(attempts.pause(error, place, self._watch.states))

    def connect(
        self, lane: int, *, timeout: float | None, request_id: str, stopped: Callable[[], bool]
    ) -> None:
        """See `Transport.connect`."""
        if self._connection.balances:
            if self._await_state(lane, timeout, stopped) is READY or stopped():
                return
        elif lane not in self._broken:
            return  # or it does not answer, which the stream will tell
        # A stream without questions is answered, or gets gRPC's own sentence on what is wrong.
        probe = self.stream(STREAM_PSEUDO_LABEL, iter(()), lane=lane, timeout=timeout, request_id=request_id)
        for _ in probe:
            pass
        self._broken.discard(lane)

    def stream(
        self,
        rpc: Rpc[Request, Response],
        requests: Iterator[Request],
        *,
        lane: int,
        timeout: float | None,
        request_id: str,
    ) -> Answers[Response]:
        """See `Transport.stream`."""
        with self._errors(request_id):
            call = self._channels[lane].stream_stream(rpc.path, serialize, rpc.response.FromString)
            metadata = self._connection.metadata(request_id)
            opened = call(requests, timeout=timeout, metadata=metadata)
            return _Answers(opened, request_id, partial(self._broken.add, lane))

    def close(self) -> None:
        """See `Transport.close`."""
        self._closed = True
        self._watch.close()
        for channel in self._channels:
            channel.close()

    def _choose(self, attempts: Attempts, wait_for_ready: bool) -> int:
        if not self._connection.balances:
            return 0
        watch = self._watch
        watch.start()
        with watch.changed:
            while not self._closed:
                place = self._rotation.choose(watch.states, attempts.tried, wait_for_ready=wait_for_ready)
                if place is not None:
                    return place
                if not watch.changed.wait(attempts.remaining()):
                    raise late(attempts.timeout, self.targets)
        raise closed()

    def _await_state(
        self, lane: int, timeout: float | None, stopped: Callable[[], bool]
    ) -> grpc.ChannelConnectivity:
        """Waits until it is known whether a server answers, or nobody wants to know."""
        watch = self._watch
        watch.start()
        deadline = None if timeout is None else time.monotonic() + timeout
        with watch.changed:
            while watch.states[lane] in UNDECIDED and not stopped() and not self._closed:
                if deadline is not None and time.monotonic() >= deadline:
                    raise late(timeout, self.targets)
                watch.changed.wait(POLL)
            return watch.states[lane]

    @contextmanager
    def _errors(self, request_id: str) -> Iterator[None]:
        try:
            yield
        except (grpc.RpcError, ValueError) as error:
            if self._closed:
                raise closed() from error
            if isinstance(error, grpc.RpcError):
                raise from_rpc_error(error, request_id) from error
            raise


class _Answers(Generic[Response]):
    """The answers of a gRPC stream."""

    def __init__(self, call: Any, request_id: str, broken: Callable[[], None]) -> None:
        self._call = call  # gRPC's type of it is not generic
        self._request_id = request_id
        self._broken = broken

    def __iter__(self) -> Iterator[Response]:
        try:
            yield from self._call
        except grpc.RpcError as error:
            self._broken()
            raise from_rpc_error(error, self._request_id) from error

    def cancel(self) -> None:
        self._call.cancel()


def open_channel(connection: Connection, target: str) -> grpc.Channel:
    """Opens a channel; it connects when it is first needed."""
    options, compression = connection.options(target, watched=connection.balances), connection.compression
    if connection.credentials is None:
        return grpc.insecure_channel(target, options, compression)
    return grpc.secure_channel(target, connection.credentials, options, compression)


def late(timeout: float | None, targets: tuple[str, ...]) -> DeadlineExceededError:
    """Returns the error for a call that found no server in its time."""
    where = ", ".join(targets)
    return DeadlineExceededError(
        "DEADLINE_EXCEEDED", "", f"no server was ready within {timeout:g} s: {where}"
    )


def closed() -> ServerError:
    """Returns the error for a question to a client that is closed."""
    return ServerError("CANCELLED", "", "the client is closed")
