"""Keeps the books of a stream in threads: one that pulls the questions, and one for each lane."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic

from boxmask_client.errors import ServerError
from boxmask_client.exchange import Answered, Asked, Item, Reply
from boxmask_client.ledger import Key, Ledger
from boxmask_client.transport import late

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from boxmask_client.exchange import Exchange
    from boxmask_client.transport import Answers, Transport

LAST_WORD = 1.0
"""Seconds that a server, all questions answered, may take to end its stream."""


def stream_answers(
    transport: Transport,
    exchange: Exchange[Asked, Answered, Item, Reply],
    ledger: Ledger[Key, Asked, Answered, Item, Reply],
    items: Iterable[tuple[Key, Asked]],
    *,
    timeout: float | None,
    request_id: str,
) -> Generator[tuple[Key, Answered | ServerError], None, None]:
    """Asks many questions, over one stream for each of the servers; answers come as they are ready.

    Args:
        transport: The way to the servers.
        exchange: What is asked and answered.
        ledger: The books, empty.
        items: The caller's key of each question, and the question. Pulled in a thread, and only while there
            is room.
        timeout: Seconds for the whole stream; None for no limit.
        request_id: What the stream's calls are called in the servers' logs.

    Raises:
        ServerError: The stream itself failed; what was not answered by then stays unanswered.
        Exception: Whatever ``items`` raised, after the questions before it were answered.
    """
    run = _Run(transport, exchange, ledger, items, timeout, request_id)
    try:
        yield from run.outcomes()
    finally:
        run.close()


class _Run(Generic[Key, Asked, Answered, Item, Reply]):
    """One stream at work. All that is shared is touched under ``changed``."""

    def __init__(
        self,
        transport: Transport,
        exchange: Exchange[Asked, Answered, Item, Reply],
        ledger: Ledger[Key, Asked, Answered, Item, Reply],
        items: Iterable[tuple[Key, Asked]],
        timeout: float | None,
        request_id: str,
    ) -> None:
        self.ledger: Ledger[Key, Asked, Answered, Item, Reply] = ledger
        self.changed = threading.Condition()
        self._closed = False
        self._transport = transport
        self._exchange: Exchange[Asked, Answered, Item, Reply] = exchange
        self._items: Iterator[tuple[Key, Asked]] = iter(items)
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._request_id = request_id
        self._open: dict[int, Answers[Reply]] = {}
        self._lanes = [
            threading.Thread(target=self._keep_lane, args=(lane,), name=f"stream-{lane}", daemon=True)
            for lane in range(len(transport.targets))
        ]

    def outcomes(self) -> Iterator[tuple[Key, Answered | ServerError]]:
        """Yields the outcomes, until all are handed over.

        Raises:
            Exception: What ended the stream.
        """
        # It may wait in the caller's iterator for ever, so nobody waits for it.
        threading.Thread(target=self._pull, name="stream-questions", daemon=True).start()
        for thread in self._lanes:
            thread.start()
        while (outcome := self._next()) is not None:
            yield outcome
        for lane in self.ledger.lanes_up():
            self._lanes[lane].join(LAST_WORD)
        if self.ledger.failure is not None:
            raise self.ledger.failure

    def close(self) -> None:
        """Ends the calls and their threads."""
        with self.changed:
            self._closed = True
            self.changed.notify_all()
            streams = list(self._open.values())
        for stream in streams:
            stream.cancel()
        for thread in self._lanes:
            if thread.ident is not None:
                thread.join()

    def next_item(self, feed: _Feed[Key, Asked, Answered, Item, Reply], lane: int) -> Item | None:
        """Returns the next message of a lane; None at its end."""
        ledger = self.ledger
        while True:
            with self.changed:
                while not (feed.closed or self._closed or ledger.has_work(lane) or ledger.may_close()):
                    self.changed.wait()
                if feed.closed or self._closed or not ledger.has_work(lane):
                    return None
                entry = ledger.next_for(lane)
            try:
                item = ledger.write(entry)
            except Exception as error:  # crosses to the caller's thread, and is raised there
                self._fail(error)
                return None
            with self.changed:
                if not ledger.is_too_large(entry, item):
                    return item
                self.changed.notify_all()

    def _next(self) -> tuple[Key, Answered | ServerError] | None:
        with self.changed:
            while (outcome := self.ledger.hand_over()) is None:
                if self.ledger.is_settled():
                    return None
                if not self.changed.wait(self._remaining()) and self._remaining() == 0:
                    raise late(self._timeout, self._transport.targets)
            self.changed.notify_all()
            return outcome

    def _pull(self) -> None:
        while self._wait(self.ledger.has_room):
            try:
                key, asked = next(self._items)
            except StopIteration:
                self._end(None)
                return
            except Exception as error:  # crosses to the caller's thread, and is raised there
                self._end(error)
                return
            with self.changed:
                self.ledger.take(key, asked)
                self.changed.notify_all()

    def _keep_lane(self, lane: int) -> None:
        while self._wait(lambda: self.ledger.has_work(lane)):
            try:
                pause = self._run_lane(lane)
            except Exception as error:  # crosses to the caller's thread, and is raised there
                self._fail(error)
                return
            self._sleep(pause)

    def _run_lane(self, lane: int) -> float:
        """Answers questions over one stream, as long as it lasts; returns the pause before the next."""
        feed = _Feed(self, lane)
        try:
            self._transport.connect(
                lane, timeout=self._remaining(), request_id=self._request_id, stopped=self._is_over
            )
            with self.changed:
                if self._is_over():
                    return 0.0
                self.ledger.opened(lane)
            replies = self._transport.stream(
                self._exchange.rpc, feed, lane=lane, timeout=self._remaining(), request_id=self._request_id
            )
            with self.changed:
                self._open[lane] = replies
                if self._closed:  # too early to be cancelled by it
                    replies.cancel()
            for reply in replies:
                self._answer(lane, reply)
        except ServerError as error:
            with self._ended(lane, feed):
                return self.ledger.broke(lane, error)
        else:
            with self._ended(lane, feed):
                return self.ledger.closed(lane)
        finally:
            with self._ended(lane, feed):
                pass

    @contextmanager
    def _ended(self, lane: int, feed: _Feed[Key, Asked, Answered, Item, Reply]) -> Iterator[None]:
        # What the books say of the lane's end, and that its feed takes no more questions, is one step: a
        # question that is taken between would be lost.
        with self.changed:
            feed.closed = True
            self._open.pop(lane, None)
            yield
            self.changed.notify_all()

    def _answer(self, lane: int, reply: Reply) -> None:
        with self.changed:
            entry = self.ledger.entry_of(lane, reply)
        outcome = self.ledger.read(entry, reply)
        with self.changed:
            self.ledger.answered(lane, entry, outcome)
            self.changed.notify_all()

    def _wait(self, wanted: Callable[[], bool]) -> bool:
        """Waits until something is wanted; False where it never will be."""
        with self.changed:
            while not self._is_over():
                if wanted():
                    return True
                self.changed.wait()
        return False

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self.changed:
            while not self._is_over() and (left := until - time.monotonic()) > 0:
                self.changed.wait(left)

    def _end(self, error: Exception | None) -> None:
        with self.changed:
            self.ledger.end(error)
            self.changed.notify_all()

    def _fail(self, error: Exception) -> None:
        with self.changed:
            self.ledger.fail(error)
            self.changed.notify_all()

    def _is_over(self) -> bool:
        return self._closed or self.ledger.is_settled()

    def _remaining(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())


class _Feed(Generic[Key, Asked, Answered, Item, Reply]):
    """The requests of one stream on one lane; gRPC pulls them in a thread of its own."""

    def __init__(self, run: _Run[Key, Asked, Answered, Item, Reply], lane: int) -> None:
        self.closed = False
        self._run: _Run[Key, Asked, Answered, Item, Reply] = run
        self._lane = lane

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        item = self._run.next_item(self, self._lane)
        if item is None:
            raise StopIteration
        return item
