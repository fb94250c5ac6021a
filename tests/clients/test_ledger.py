"""The books of a stream: who is asked what, what is asked again, and when a stream is given up."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from boxmask.v1 import labeling_pb2 as pb
from boxmask_client import (
    Answer,
    InternalError,
    OverloadedError,
    Question,
    RejectedError,
    Retry,
    ServerError,
    UnavailableError,
)
from boxmask_client.exchange import MASKS
from boxmask_client.ledger import Ledger
from boxmask_client.statuses import from_status
from tests.clients.scripted_server import answer_to, status_of

Books = Ledger[Any, Question, Answer, pb.StreamPseudoLabelRequest, pb.StreamPseudoLabelResponse]

GONE = UnavailableError("UNAVAILABLE", "", "the socket is closed")
DRAINING = UnavailableError("UNAVAILABLE", "DRAINING", "the server drains")


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def _books(lanes: int = 1, window: int = 8, retry: Retry | None = None, clock: Clock | None = None) -> Books:
    return Ledger(
        MASKS,
        lanes=lanes,
        window=window,
        max_message_bytes=1000,
        retry=retry or Retry(),
        request_id="abc",
        now=clock or Clock(),
    )


def _take(books: Books, *keys: object) -> None:
    for key in keys:
        books.take(key, Question(b"image"))


def _send(books: Books, lane: int = 0) -> list[pb.StreamPseudoLabelRequest]:
    """Sends all that the lane may take."""
    sent = []
    while books.has_work(lane):
        sent.append(books.write(books.next_for(lane)))
    return sent


def _answer(books: Books, item: pb.StreamPseudoLabelRequest, lane: int = 0) -> None:
    reply = pb.StreamPseudoLabelResponse(item_id=item.item_id, response=answer_to(item.request, "one"))
    entry = books.entry_of(lane, reply)
    books.answered(lane, entry, books.read(entry, reply))


def _handed(books: Books) -> list[tuple[Any, Answer | ServerError]]:
    handed = []
    while (outcome := books.hand_over()) is not None:
        handed.append(outcome)
    return handed


def test_what_was_not_answered_is_asked_again_in_its_order_and_what_was_is_not() -> None:
    books = _books()
    _take(books, "a", "b", "c", "d")
    first = _send(books)
    _answer(books, first[1])
    books.broke(0, GONE)
    again = _send(books)
    assert [item.item_id for item in again] == ["0", "2", "3"]
    for item in again:
        _answer(books, item)
    assert [key for key, _ in _handed(books)] == ["b", "a", "c", "d"]


def test_an_item_that_breaks_its_stream_every_time_is_answered_by_the_error() -> None:
    books = _books(retry=Retry(attempts=3))
    _take(books, "poison")
    for i in range(3):
        _take(books, i)  # is answered in the meantime
        _, good = _send(books)
        _answer(books, good)
        books.broke(0, GONE)
    assert _handed(books)[-1] == ("poison", GONE)
    assert not _send(books)


def test_what_a_draining_server_did_not_answer_was_not_begun_and_counts_as_not_asked() -> None:
    books = _books(retry=Retry(attempts=2, patience=60))
    _take(books, "first")
    _answer(books, _send(books)[0])
    _take(books, "a")
    for _ in range(6):
        assert len(_send(books)) == 1
        books.broke(0, DRAINING)
    assert books.failure is None


def test_an_item_that_a_draining_server_gives_back_is_asked_elsewhere() -> None:
    books = _books(lanes=2)
    _take(books, "a")
    books.opened(0)
    books.opened(1)
    (item,) = _send(books, 0)
    drains = status_of(grpc.StatusCode.UNAVAILABLE, "drains", ErrorInfo(reason="DRAINING", domain="boxmask"))
    reply = pb.StreamPseudoLabelResponse(item_id=item.item_id, error=drains)
    entry = books.entry_of(0, reply)
    books.answered(0, entry, books.read(entry, reply))
    assert not books.has_work(0)
    (again,) = _send(books, 1)
    _answer(books, again, lane=1)
    ((key, outcome),) = _handed(books)
    assert (key, type(outcome)) == ("a", Answer)


def test_a_stream_that_never_reached_a_server_is_given_up_after_its_attempts() -> None:
    books = _books(lanes=2, retry=Retry(attempts=2))
    books.broke(0, GONE)
    books.broke(0, GONE)
    books.broke(1, GONE)
    assert books.failure is None
    books.broke(1, GONE)
    with pytest.raises(UnavailableError):
        books.hand_over()


def test_a_stream_that_was_answered_waits_as_long_as_its_patience() -> None:
    clock = Clock()
    books = _books(retry=Retry(attempts=2, patience=60), clock=clock)
    _take(books, "a", "b")
    _answer(books, _send(books)[0])
    assert _handed(books)[0][0] == "a"
    clock.seconds = 59
    for _ in range(9):
        books.broke(0, GONE)
    assert books.failure is None
    clock.seconds = 61
    books.broke(0, GONE)
    assert books.failure is GONE


def test_a_server_that_is_gone_fails_nothing_while_another_works() -> None:
    books = _books(lanes=2, retry=Retry(attempts=1))
    books.opened(1)
    for _ in range(9):
        books.broke(0, GONE)
    assert books.failure is None


def test_an_error_that_another_attempt_does_not_help_ends_the_stream_after_what_was_answered() -> None:
    books = _books()
    _take(books, "a", "b")
    _answer(books, _send(books)[0])
    wrong = from_status(status_of(grpc.StatusCode.UNAUTHENTICATED, "who are you?"))
    books.broke(0, wrong)
    assert books.is_settled()
    outcome = books.hand_over()
    assert outcome is not None
    assert outcome[0] == "a"
    with pytest.raises(type(wrong)):
        books.hand_over()


def test_a_stream_that_is_refused_for_too_many_calls_is_opened_again_only_if_the_caller_says_so() -> None:
    refused = OverloadedError("RESOURCE_EXHAUSTED", "TOO_MANY_CALLS", "two at most", retry_after=3)
    patient = _books(retry=Retry(when_full=1))
    assert patient.broke(0, refused) == 3
    assert not patient.is_settled()
    patient.broke(0, refused)
    assert patient.failure is refused
    hasty = _books()
    hasty.broke(0, refused)
    assert hasty.failure is refused


def test_lanes_share_the_window_and_one_alone_has_all_of_it() -> None:
    books = _books(lanes=3, window=8)
    _take(books, *range(8))
    books.opened(0)
    books.opened(1)
    assert len(_send(books, 0)) == 4
    assert len(_send(books, 1)) == 4
    books.broke(1, GONE)
    assert len(_send(books, 0)) == 4
    assert not books.has_room()


def test_an_answer_on_a_lane_that_was_not_asked_breaks_the_contract() -> None:
    books = _books(lanes=2)
    _take(books, "a")
    (item,) = _send(books, 0)
    with pytest.raises(InternalError, match="item '0', which is not open"):
        _answer(books, item, lane=1)


def test_room_is_made_when_an_outcome_is_handed_over_and_not_before() -> None:
    books = _books(window=1)
    _take(books, "a")
    assert not books.has_room()
    _answer(books, _send(books)[0])
    assert not books.has_room()
    assert books.hand_over() is not None
    assert books.has_room()


def test_a_question_that_is_settled_while_its_lane_breaks_is_not_asked_again() -> None:
    books = _books()
    books.take("large", Question(b"x" * 2000))
    entry = books.next_for(0)
    item = books.write(entry)
    books.broke(0, GONE)
    assert books.is_too_large(entry, item)
    assert not books.has_work(0)
    ((_, outcome),) = _handed(books)
    assert isinstance(outcome, RejectedError)


def test_an_error_of_an_item_names_the_streams_request() -> None:
    books = _books()
    _take(books, "a")
    (item,) = _send(books)
    status = Status(code=3, message="no", details=[])
    reply = pb.StreamPseudoLabelResponse(item_id=item.item_id, error=status)
    outcome = books.read(books.entry_of(0, reply), reply)
    assert isinstance(outcome, RejectedError)
    assert outcome.request_id == "abc"


def test_a_server_that_ends_the_stream_too_early_again_and_again_breaks_the_contract() -> None:
    books = _books(retry=Retry(attempts=2))
    for _ in range(2):
        assert books.closed(0) > 0
    books.closed(0)
    with pytest.raises(InternalError, match="ended before the questions did"):
        books.hand_over()


def test_a_server_that_ends_the_stream_with_a_question_open_breaks_the_contract() -> None:
    books = _books()
    _take(books, "a")
    _send(books)
    books.end()
    books.closed(0)
    with pytest.raises(InternalError, match="ended with 1 items unanswered"):
        books.hand_over()


def test_the_reason_of_a_draining_server_is_the_contracts() -> None:
    info = ErrorInfo(reason="DRAINING", domain="boxmask")
    error = from_status(status_of(grpc.StatusCode.UNAVAILABLE, "drains", info))
    assert (type(error), error.reason) == (type(DRAINING), DRAINING.reason)
