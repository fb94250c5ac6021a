"""The books of a stream: what is asked, what is on its way on which lane, what is answered.

A lane is a stream to one address; a client of several addresses has several, and they share the questions,
the faster ones taking more. A lane that breaks gives back what it has not answered, and the next that has
room asks it again. The books neither send nor wait: whoever keeps them, in threads or in an event loop, does.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from boxmask_client.errors import OverloadedError, RejectedError, ServerError, UnavailableError
from boxmask_client.exchange import Answered, Asked, Item, Reply
from boxmask_client.messages import malformed
from boxmask_client.statuses import from_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from boxmask_client.exchange import Exchange
    from boxmask_client.retry import Retry

Key = TypeVar("Key")

DRAINING = "DRAINING"
"""The reason of a server that has answered what it has read: what is then unanswered was not begun."""


@dataclass(eq=False)
class Entry(Generic[Key, Asked]):
    """One question of a stream.

    Attributes:
        item_id: Its number, under which it travels, so that the caller's keys may be anything, and repeat.
        key: The caller's key.
        asked: The question.
        lane: The lane that it is on; None while it waits for one.
        tries: How often it was sent on a lane that broke.
    """

    item_id: str
    key: Key
    asked: Asked
    lane: int | None = None
    tries: int = 0


class Ledger(Generic[Key, Asked, Answered, Item, Reply]):
    """The books of one stream.

    Args:
        exchange: What is asked and answered.
        lanes: How many lanes there are.
        window: Most questions that are taken and whose answers are not handed over.
        max_message_bytes: A larger question is answered by an error on this side: on the wire it would break
            the lane for all the others.
        retry: How often, and how patiently.
        request_id: What the stream's calls are called in the server's log.
        now: The clock, seconds.

    Attributes:
        outcomes: What is to be handed to the caller; `hand_over` takes from it.
        failure: What ends the stream for good, once there is nothing more to hand over.
    """

    def __init__(
        self,
        exchange: Exchange[Asked, Answered, Item, Reply],
        *,
        lanes: int,
        window: int,
        max_message_bytes: int,
        retry: Retry,
        request_id: str,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.outcomes: deque[tuple[Key, Answered | ServerError]] = deque()
        self.failure: Exception | None = None
        self._exchange: Exchange[Asked, Answered, Item, Reply] = exchange
        self._window = window
        self._max_message_bytes = max_message_bytes
        self._retry = retry
        self._request_id = request_id
        self._now = now
        self._numbers = itertools.count()
        self._waiting: deque[Entry[Key, Asked]] = deque()
        self._open: dict[str, Entry[Key, Asked]] = {}
        self._ended = False
        self._end: Exception | None = None
        self._up: set[int] = set()
        self._draining: set[int] = set()
        self._failures = [0] * lanes
        self._answers = 0
        self._down_since = now()

    def has_room(self) -> bool:
        """Returns whether another question may be taken."""
        return not self._ended and len(self._open) + len(self.outcomes) < self._window

    def take(self, key: Key, asked: Asked) -> None:
        """Books a question."""
        entry = Entry(str(next(self._numbers)), key, asked)
        self._open[entry.item_id] = entry
        self._waiting.append(entry)

    def end(self, error: Exception | None = None) -> None:
        """Books that there are no more questions, and what they raised, for after the answers."""
        self._ended = True
        self._end = error

    def is_settled(self) -> bool:
        """Returns whether nothing more will happen but handing over."""
        return self.failure is not None or (self._ended and not self._open)

    def fail(self, error: Exception) -> None:
        """Books what ends the stream for good; the first counts."""
        if self.failure is None:
            self.failure = error

    def hand_over(self) -> tuple[Key, Answered | ServerError] | None:
        """Returns an outcome for the caller, which makes room for a question; None where there is none.

        Raises:
            Exception: What ended the stream, after all outcomes.
        """
        if self.outcomes:
            return self.outcomes.popleft()
        if self.failure is not None:
            raise self.failure
        if self.is_settled() and self._end is not None:
            raise self._end
        return None

    def has_work(self, lane: int) -> bool:
        """Returns whether a question waits that the lane may take."""
        return bool(self._waiting) and lane not in self._draining and self._load(lane) < self._share(lane)

    def may_close(self) -> bool:
        """Returns whether a lane has no question to expect, unless another one breaks."""
        return self.is_settled() or (self._ended and not self._waiting)

    def opened(self, lane: int) -> None:
        """Books that a lane reaches its server."""
        self._up.add(lane)

    def lanes_up(self) -> list[int]:
        """Returns the lanes that reach their servers."""
        return sorted(self._up)

    def next_for(self, lane: int) -> Entry[Key, Asked]:
        """Returns the next question, which is then on the lane. There must be work for it."""
        entry = self._waiting.popleft()
        entry.lane = lane
        return entry

    def write(self, entry: Entry[Key, Asked]) -> Item:
        """Returns the message of a question. It takes its time; nothing is booked.

        Raises:
            Exception: Whatever the image's file, or its array, gives.
        """
        return self._exchange.write(entry.item_id, entry.asked)

    def is_too_large(self, entry: Entry[Key, Asked], item: Item) -> bool:
        """Returns whether a message may not travel; its question is then answered here."""
        if item.ByteSize() <= self._max_message_bytes:
            return False
        message = (
            f"the question has {item.ByteSize()} bytes, the limit is {self._max_message_bytes}; resize the "
            "image, or raise max_message_bytes"
        )
        self.settle(entry, RejectedError("INVALID_ARGUMENT", "IMAGE_TOO_LARGE", message))
        return True

    def entry_of(self, lane: int, reply: Reply) -> Entry[Key, Asked]:
        """Returns the question that a message answers.

        Raises:
            InternalError: It is not one that is open on the lane.
        """
        entry = self._open.get(reply.item_id)
        if entry is None or entry.lane != lane:
            raise malformed(f"it answers the item {reply.item_id!r}, which is not open")
        return entry

    def read(self, entry: Entry[Key, Asked], reply: Reply) -> Answered | ServerError:
        """Returns what a message answers. It takes its time; nothing is booked.

        Raises:
            BoxmaskError: The message breaks the contract.
        """
        if reply.WhichOneof("outcome") == "error":
            return from_status(reply.error, self._request_id)
        return self._exchange.read(reply, entry.asked)

    def settle(self, entry: Entry[Key, Asked], outcome: Answered | ServerError) -> None:
        """Books the outcome of a question."""
        if self._open.pop(entry.item_id, None) is None:
            return
        if entry in self._waiting:  # its lane broke while it was being worked on
            self._waiting.remove(entry)
        self.outcomes.append((entry.key, outcome))

    def answered(self, lane: int, entry: Entry[Key, Asked], outcome: Answered | ServerError) -> None:
        """Books what a lane's server answered."""
        if isinstance(outcome, ServerError) and outcome.reason == DRAINING:
            self._draining.add(lane)  # it ends the stream when it has answered what it has begun
            if entry.item_id in self._open:
                entry.lane = None
                self._waiting.appendleft(entry)
            return
        self._answers += 1
        self._failures[lane] = 0
        self._down_since = self._now()
        self.settle(entry, outcome)

    def closed(self, lane: int) -> float:
        """Books that a lane's server has ended the stream as if all were answered.

        Returns:
            Seconds before the lane is opened again, where there is more to ask.
        """
        self._gone(lane)
        if count := self._load(lane):
            self.fail(malformed(f"the stream ended with {count} items unanswered"))
        if self.may_close():
            return 0.0
        self._failures[lane] += 1
        if self._failures[lane] > self._retry.attempts:
            self.fail(malformed("the stream ended before the questions did"))
        return self._retry.pause(self._failures[lane])

    def broke(self, lane: int, error: ServerError) -> float:
        """Books that a lane is gone: what it had not answered waits for another.

        Returns:
            Seconds before the lane is tried again, where the stream has not failed.
        """
        self._gone(lane)
        self._give_back(lane, error)
        self._failures[lane] += 1
        failures = self._failures[lane]
        if isinstance(error, OverloadedError) and failures <= self._retry.when_full:
            return self._retry.pause(failures) if error.retry_after is None else error.retry_after
        if not isinstance(error, UnavailableError) or self._is_hopeless():
            self.fail(error)
        return self._retry.pause(failures)

    def _gone(self, lane: int) -> None:
        self._up.discard(lane)
        self._draining.discard(lane)

    def _give_back(self, lane: int, error: ServerError) -> None:
        begun = error.reason != DRAINING
        for entry in reversed([entry for entry in self._open.values() if entry.lane == lane]):
            entry.lane = None
            entry.tries += begun
            if isinstance(error, UnavailableError) and entry.tries >= self._retry.attempts:
                self.settle(entry, error)
            else:
                self._waiting.appendleft(entry)

    def _is_hopeless(self) -> bool:
        if self._up or min(self._failures) < self._retry.attempts:
            return False
        return not self._answers or self._now() - self._down_since > self._retry.patience

    def _load(self, lane: int) -> int:
        return sum(entry.lane == lane for entry in self._open.values())

    def _share(self, lane: int) -> int:
        return math.ceil(self._window / len((self._up - self._draining) | {lane}))
