"""Callers who go away, or stay and do not listen."""

from __future__ import annotations

import random
import time
from functools import partial
from typing import TYPE_CHECKING

import grpc

from boxmask.v1 import labeling_pb2 as pb
from tests.faults.neighbours import neighbours
from tests.faults.servers import Server, until
from tests.server.pictures import CAT, EAR, encoded, noise, png
from tests.server.serving import request_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sized


STORM, WAVE = 1000, 100
STREAM_WINDOW = 16
"""What a server reads of a stream before it waits for answers to leave; its default."""


def test_a_thousand_calls_are_cancelled_and_service_is_as_before(server: Server) -> None:
    rng = random.Random(0)
    question = request_of(png("cat"), *[CAT, EAR] * 4)
    cancelled = 0
    with neighbours(server), server.stub() as stub:
        for _ in range(STORM // WAVE):
            calls = [stub.PseudoLabel.future(question) for _ in range(WAVE)]
            for call in rng.sample(calls, len(calls)):
                time.sleep(rng.uniform(0, 0.001))
                cancelled += call.cancel()
    assert cancelled > STORM / 2, "some may be answered first"


def test_streams_are_cancelled_with_everything_in_them(server: Server) -> None:
    question = request_of(png("cat"), *[CAT, EAR] * 4)
    items = [pb.StreamPseudoLabelRequest(item_id=str(i), request=question) for i in range(STREAM_WINDOW)]
    with neighbours(server), server.stub() as stub:
        for _ in range(15):
            answers = stub.StreamPseudoLabel(iter(items))
            next(answers)
            answers.cancel()


def test_who_does_not_listen_is_read_no_further_and_harms_nobody(server: Server) -> None:
    question = pb.SegmentRequest(image=encoded(noise(600, 400)), include_scores=True)
    with server.stub() as stub:
        size = stub.Segment(question).ByteSize()
    assert size > 200_000, "answers that are too small never fill the way to the caller"
    asked: list[int] = []

    def items() -> Iterator[pb.StreamSegmentRequest]:
        for i in range(2000):
            asked.append(i)
            yield pb.StreamSegmentRequest(item_id=str(i), request=question)

    before = server.held()
    with server.stub() as stub:
        answers = stub.StreamSegment(items())
        with neighbours(server):
            until(partial(_at_rest, asked))
        assert len(asked) < 500, "it is read on, though nobody takes the answers"
        assert server.held().memory < before.memory + 100
        answers.cancel()


def test_calls_whose_deadline_is_past_before_they_begin_cost_the_others_nothing(server: Server) -> None:
    codes = set()
    with neighbours(server), server.stub() as stub:
        for _ in range(200):
            call = stub.PseudoLabel.future(request_of(png("cat"), CAT), timeout=0.001)
            codes.add(call.code())
    assert codes == {grpc.StatusCode.DEADLINE_EXCEEDED}


def _at_rest(growing: Sized) -> bool:
    """Tells whether something has stopped growing."""
    before = len(growing)
    time.sleep(2)
    return len(growing) == before > 0
