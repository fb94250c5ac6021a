"""The stream's book-keeping, with a transport that answers as a test tells it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from google.rpc.status_pb2 import Status

from boxmask.v1 import labeling_pb2 as pb
from boxmask_client import Answer, Client, InternalError, OverloadedError, Question, RejectedError
from boxmask_core.rle import encode_rle
from tests.clients.scenes import CAT

if TYPE_CHECKING:
    from boxmask_client.rpcs import Request, Response, Rpc
    from boxmask_client.transport import Answers

Requests = Iterator[pb.StreamPseudoLabelRequest]
Responses = Iterator[pb.StreamPseudoLabelResponse]
Script = Callable[[Requests], Responses]


class ScriptedTransport:
    """Hands the requests of each stream to its script, and the script's answers to the client."""

    def __init__(self, *scripts: Script, targets: tuple[str, ...] = ("nowhere:1",)) -> None:
        self._scripts: list[Any] = list(scripts)
        self.targets = targets
        self.streams: list[ScriptedAnswers] = []

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
        raise NotImplementedError

    def connect(
        self, lane: int, *, timeout: float | None, request_id: str, stopped: Callable[[], bool]
    ) -> None:
        pass

    def stream(
        self,
        rpc: Rpc[Request, Response],  # noqa: ARG002
        requests: Iterator[Request],
        *,
        lane: int,  # noqa: ARG002
        timeout: float | None,  # noqa: ARG002
        request_id: str,  # noqa: ARG002
    ) -> Answers[Response]:
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        answers = ScriptedAnswers(script(requests))
        self.streams.append(answers)
        return answers

    def close(self) -> None:
        pass


class ScriptedAnswers:
    def __init__(self, answers: Iterator[Any]) -> None:
        self._answers = answers
        self.cancelled = False

    def __iter__(self) -> Iterator[Any]:
        return self._answers

    def cancel(self) -> None:
        self.cancelled = True


def _client(script: Script, max_message_bytes: int = 10_000) -> Client:
    return Client("nowhere:1", transport=ScriptedTransport(script), max_message_bytes=max_message_bytes)


def _answer(item: pb.StreamPseudoLabelRequest) -> pb.StreamPseudoLabelResponse:
    """Every mask is one pixel; the width tells whose image it was."""
    masks = [
        pb.InstanceMask(
            window=pb.PixelWindow(x1=1, y1=1),
            coco_rle=encode_rle(np.ones((1, 1), dtype=np.bool_)),
            fallback=pb.FALLBACK_NONE,
        )
        for _ in item.request.instances
    ]
    response = pb.PseudoLabelResponse(width=len(item.request.image), height=1, masks=masks)
    return pb.StreamPseudoLabelResponse(item_id=item.item_id, response=response)


def _question(size: int) -> Question:
    return Question(b"x" * size, [CAT])


def _widths(outcomes: Iterator[tuple[int, object]]) -> dict[int, int]:
    widths = {}
    for key, outcome in outcomes:
        assert isinstance(outcome, Answer)
        widths[key] = outcome.width
    return widths


def test_answers_out_of_order_reach_the_right_keys() -> None:
    def backwards(requests: Requests) -> Responses:
        items = [next(requests) for _ in range(3)]
        yield from (_answer(item) for item in reversed(items))

    items = [(size, _question(size)) for size in (10, 20, 30)]
    outcomes = list(_client(backwards).stream_pseudo_label(items, window=3))
    assert [key for key, _ in outcomes] == [30, 20, 10]
    assert _widths(iter(outcomes)) == {10: 10, 20: 20, 30: 30}


@pytest.mark.parametrize("window", [1, 3])
def test_no_more_questions_are_pulled_than_the_window_holds(window: int) -> None:
    pulled = 0

    def items() -> Iterator[tuple[int, Question]]:
        nonlocal pulled
        for i in range(10):
            pulled += 1
            yield i, _question(i + 1)

    def greedy(requests: Requests) -> Responses:
        unanswered = [next(requests) for _ in range(window)]
        for answered in range(10):
            assert pulled == min(answered + window, 10)
            yield _answer(unanswered.pop(0))
            unanswered.extend(item for item in [next(requests, None)] if item is not None)

    outcomes = _client(greedy).stream_pseudo_label(items(), window=window)
    assert _widths(outcomes) == {i: i + 1 for i in range(10)}


def test_nothing_is_pulled_before_the_first_answer_is_asked_for() -> None:
    pulled = []

    def items() -> Iterator[tuple[int, Question]]:
        pulled.append(True)
        yield 0, _question(1)

    _client(_in_turn).stream_pseudo_label(items())
    assert not pulled


def _in_turn(requests: Requests) -> Responses:
    for item in requests:
        yield _answer(item)


def test_an_error_of_one_item_leaves_the_others_alone() -> None:
    def second_fails(
        requests: Iterator[pb.StreamPseudoLabelRequest],
    ) -> Iterator[pb.StreamPseudoLabelResponse]:
        yield _answer(next(requests))
        status = Status(code=8, message="the queue is full")
        yield pb.StreamPseudoLabelResponse(item_id=next(requests).item_id, error=status)
        yield _answer(next(requests))

    outcomes = dict(_client(second_fails).stream_pseudo_label([(i, _question(1)) for i in range(3)]))
    assert [type(outcomes[i]) for i in range(3)] == [Answer, OverloadedError, Answer]


def test_a_question_above_the_message_limit_is_answered_here_and_never_sent() -> None:
    items = [("small", _question(10)), ("large", _question(2000)), ("last", _question(20))]
    outcomes = dict(_client(_in_turn, max_message_bytes=1000).stream_pseudo_label(items))
    assert isinstance(outcomes["large"], RejectedError)
    assert outcomes["large"].reason == "IMAGE_TOO_LARGE"
    assert "the limit is 1000" in str(outcomes["large"])
    assert isinstance(outcomes["small"], Answer)
    assert isinstance(outcomes["last"], Answer)


def test_what_the_items_raise_is_raised_after_the_answers_before_it() -> None:
    def items() -> Iterator[tuple[int, Question]]:
        yield 0, _question(1)
        raise LookupError("the list is broken")

    seen: list[tuple[int, object]] = []
    with pytest.raises(LookupError, match="the list is broken"):
        seen.extend(_client(_in_turn).stream_pseudo_label(items()))
    assert [key for key, _ in seen] == [0]


def test_a_stream_that_ends_with_items_unanswered_is_an_error() -> None:
    def forgetful(requests: Requests) -> Responses:
        yield _answer(next(requests))
        next(requests)

    with pytest.raises(InternalError, match="ended with 1 items unanswered"):
        list(_client(forgetful).stream_pseudo_label([(i, _question(1)) for i in range(2)]))


def test_an_answer_to_an_item_that_is_not_open_is_an_error() -> None:
    def twice(requests: Requests) -> Responses:
        answer = _answer(next(requests))
        yield answer
        yield answer

    with pytest.raises(InternalError, match="answers the item '0', which is not open"):
        list(_client(twice).stream_pseudo_label([(0, _question(1))]))


def test_closing_the_generator_ends_the_call() -> None:
    transport = ScriptedTransport(_in_turn)
    client = Client("nowhere:1", transport=transport)
    outcomes = client.stream_pseudo_label([(i, _question(1)) for i in range(50)], window=2)
    next(outcomes)
    (stream,) = transport.streams
    assert not stream.cancelled
    outcomes.close()
    assert stream.cancelled
