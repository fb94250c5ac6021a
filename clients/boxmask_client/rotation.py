"""Which of several servers is asked next. It knows nothing of channels, only of what state they are in."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from grpc import ChannelConnectivity

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

READY = ChannelConnectivity.READY
UNDECIDED = (ChannelConnectivity.IDLE, ChannelConnectivity.CONNECTING)


class Rotation:
    """Takes the servers that are ready in turn. Threads may share it."""

    def __init__(self) -> None:
        self._turns = itertools.count()

    def choose(
        self, states: Sequence[ChannelConnectivity], tried: Collection[int], *, wait_for_ready: bool = False
    ) -> int | None:
        """Returns the place of the server to ask, or None while that is not decided.

        A server that is ready goes before all others; where none is and none may become so, one that is not
        is asked all the same: its error is the answer.

        Args:
            states: Of each server.
            tried: Places that are not to be asked while another is ready.
            wait_for_ready: Whether to wait until one is.
        """
        if len(states) == 1:
            return 0  # gRPC waits for it, or does not, as the call says
        turn = next(self._turns)
        if ready := untried(states, tried):
            return ready[turn % len(ready)]
        if wait_for_ready or any(state in UNDECIDED for state in states):
            return None
        return turn % len(states)


def untried(states: Sequence[ChannelConnectivity], tried: Collection[int]) -> list[int]:
    """Returns the places of the servers that are ready and not among those tried."""
    return [place for place, state in enumerate(states) if state is READY and place not in tried]
