"""A stream of questions with a bounded number of them unanswered, whatever is asked."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from boxmask.v1 import labeling_pb2 as pb
from boxmask_client.errors import RejectedError, ServerError
from boxmask_client.messages import malformed, to_answer, to_request
from boxmask_client.segment_messages import to_segment_request, to_segmentation
from boxmask_client.statuses import from_status
from boxmask_client.transport import STREAM_PSEUDO_LABEL, STREAM_SEGMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from boxmask_client.answers import Answer, Segmentation
    from boxmask_client.questions import Question, SegmentQuestion
    from boxmask_client.transport import Rpc, Transport

Key = TypeVar("Key")
Asked = TypeVar("Asked")
Answered = TypeVar("Answered")
Item = TypeVar("Item", pb.StreamPseudoLabelRequest, pb.StreamSegmentRequest)
Reply = TypeVar("Reply", pb.StreamPseudoLabelResponse, pb.StreamSegmentResponse)


@dataclass(frozen=True)
class Exchange(Generic[Asked, Answered, Item, Reply]):
    """What one kind of stream carries.

    Attributes:
        rpc: The procedure.
        ask: From an item's id and its question to its message, and to what reads the reply; the latter keeps
            no image alive.
    """

    rpc: Rpc[Item, Reply]
    ask: Callable[[str, Asked], tuple[Item, Callable[[Reply], Answered]]]


def _ask_for_masks(
    item_id: str, question: Question
) -> tuple[pb.StreamPseudoLabelRequest, Callable[[pb.StreamPseudoLabelResponse], Answer]]:
    instances = tuple(question.instances)
    item = pb.StreamPseudoLabelRequest(item_id=item_id, request=to_request(question))
    return item, lambda reply: to_answer(reply.response, instances)


def _ask_for_label_map(
    item_id: str, question: SegmentQuestion
) -> tuple[pb.StreamSegmentRequest, Callable[[pb.StreamSegmentResponse], Segmentation]]:
    item = pb.StreamSegmentRequest(item_id=item_id, request=to_segment_request(question))
    return item, lambda reply: to_segmentation(reply.response)


MASKS = Exchange(STREAM_PSEUDO_LABEL, _ask_for_masks)
LABEL_MAPS = Exchange(STREAM_SEGMENT, _ask_for_label_map)


def stream_answers(
    transport: Transport,
    exchange: Exchange[Asked, Answered, Item, Reply],
    items: Iterable[tuple[Key, Asked]],
    *,
    window: int,
    max_message_bytes: int,
    timeout: float | None,
) -> Generator[tuple[Key, Answered | ServerError], None, None]:
    """Asks many questions over one call; answers come as they are ready.

    Args:
        transport: The way to the server.
        exchange: What is asked and answered.
        items: The caller's key of each question, and the question. Pulled in a thread of the transport's,
            and only while fewer than ``window`` are unanswered.
        window: Most unanswered questions.
        max_message_bytes: A larger question is answered by an error on this side: on the wire it would end
            the stream for all the others.
        timeout: Seconds for the whole stream; None for no limit.

    Raises:
        ServerError: The stream itself failed; what was not answered by then stays unanswered.
        Exception: Whatever ``items`` raised, after the questions before it were answered.
    """
    feed = _Feed(exchange, items, window, max_message_bytes)
    responses = transport.call(exchange.rpc, feed, timeout=timeout)
    try:
        for response in responses:
            yield from feed.take_refused()
            yield feed.answered(response)
        yield from feed.take_refused()
        feed.check_finished()
    finally:
        feed.close()
        responses.close()


class _Feed(Generic[Key, Asked, Answered, Item, Reply]):
    """The requests of a stream, and the memory of which of them are unanswered.

    The transport pulls requests in its thread; the caller books answers in its own. Items travel under
    numbers of the feed's, so that the caller's keys may be anything, and repeat.
    """

    def __init__(
        self,
        exchange: Exchange[Asked, Answered, Item, Reply],
        items: Iterable[tuple[Key, Asked]],
        window: int,
        max_message_bytes: int,
    ) -> None:
        self._exchange: Exchange[Asked, Answered, Item, Reply] = exchange
        self._items = iter(items)
        self._max_message_bytes = max_message_bytes
        self._room = threading.Semaphore(window)
        self._numbers = itertools.count()
        self._unanswered: dict[str, tuple[Key, Callable[[Reply], Answered]]] = {}
        self._refused: deque[tuple[Key, ServerError]] = deque()
        self._failure: Exception | None = None
        self._closed = False

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        self._room.acquire()
        while not self._closed:
            try:
                key, question = next(self._items)
                item, read = self._exchange.ask(str(next(self._numbers)), question)
            except StopIteration:
                break
            except Exception as error:  # crosses to the caller's thread, and is raised there
                self._failure = error
                break
            if item.ByteSize() <= self._max_message_bytes:
                self._unanswered[item.item_id] = key, read
                return item
            self._refused.append((key, _too_large(item.ByteSize(), self._max_message_bytes)))
        raise StopIteration

    def answered(self, response: Reply) -> tuple[Key, Answered | ServerError]:
        """Books an answer and makes room for the next question."""
        if response.item_id not in self._unanswered:
            raise malformed(f"it answers the item {response.item_id!r}, which is not open")
        key, read = self._unanswered.pop(response.item_id)
        self._room.release()
        if response.WhichOneof("outcome") == "error":
            return key, from_status(response.error)
        return key, read(response)

    def take_refused(self) -> Iterator[tuple[Key, ServerError]]:
        """Yields the items that were answered on this side."""
        while self._refused:
            yield self._refused.popleft()

    def check_finished(self) -> None:
        """Raises what the items raised, or an error if the server left some unanswered."""
        if self._failure is not None:
            raise self._failure
        if self._unanswered:
            raise malformed(f"the stream ended with {len(self._unanswered)} items unanswered")

    def close(self) -> None:
        """Ends the requests, also for a thread that waits for room."""
        self._closed = True
        self._room.release()


def _too_large(size: int, limit: int) -> RejectedError:
    message = (
        f"the question has {size} bytes, the limit is {limit}; resize the image, or raise max_message_bytes"
    )
    return RejectedError("INVALID_ARGUMENT", "IMAGE_TOO_LARGE", message)
