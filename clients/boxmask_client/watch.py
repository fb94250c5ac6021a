"""Which servers answer: a thread for each follows the server's word on its own health.

gRPC keeps that to itself in the synchronous stack: what it tells of a channel's state, it tells from a thread
that fails where the channel is closed at the wrong moment.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import grpc

from boxmask_client.rpcs import LABELING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WATCH: Final = "/grpc.health.v1.Health/Watch"
QUESTION: Final = b"\x0a" + bytes([len(LABELING)]) + LABELING.encode()
"""A HealthCheckRequest of the labeling service. The client goes without the package of such messages."""
SERVING: Final = b"\x08\x01"
"""The HealthCheckResponse of a server that takes calls."""
AGAIN: Final = 0.25
"""Seconds before a server that is gone is looked for again; its channel's own pauses come on top."""

State = grpc.ChannelConnectivity


class Watch:
    """The states of servers: READY, TRANSIENT_FAILURE, or IDLE while nothing is known.

    Args:
        channels: One for each server.

    Attributes:
        changed: Is notified of changes; hold it while looking at ``states``.
        states: Of each server.
    """

    def __init__(self, channels: Sequence[grpc.Channel]) -> None:
        self.changed = threading.Condition()
        self.states = [State.IDLE] * len(channels)
        self._channels = channels
        self._calls: dict[int, Any] = {}
        self._threads: list[threading.Thread] = []
        self._closed = threading.Event()

    def start(self) -> None:
        """Starts the threads, if they do not run."""
        with self.changed:
            if self._threads or self._closed.is_set():
                return
            self._threads = [
                threading.Thread(target=self._follow, args=(place,), name=f"health-{place}", daemon=True)
                for place in range(len(self._channels))
            ]
            for thread in self._threads:
                thread.start()

    def close(self) -> None:
        """Ends the threads. The channels must be open still."""
        with self.changed:
            self._closed.set()
            calls = list(self._calls.values())
            self.changed.notify_all()
        for call in calls:
            call.cancel()
        for thread in self._threads:
            thread.join()

    def _follow(self, place: int) -> None:
        while not self._closed.is_set():
            try:
                for answer in self._answers(place):
                    self._book(place, State.READY if answer == SERVING else State.TRANSIENT_FAILURE)
            except grpc.RpcError as error:
                # A server that says no to the question, not knowing of health, is one that answers.
                gone = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
                self._book(place, State.TRANSIENT_FAILURE if gone else State.READY)
            self._closed.wait(AGAIN)

    def _answers(self, place: int) -> Iterator[bytes]:
        with self.changed:
            if self._closed.is_set():
                return
            ask: Any = self._channels[place].unary_stream(WATCH)  # the stubs do not know of plain bytes
            self._calls[place] = call = ask(QUESTION)
        yield from call

    def _book(self, place: int, state: State) -> None:
        with self.changed:
            self.states[place] = state
            self.changed.notify_all()
