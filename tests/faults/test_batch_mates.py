"""Eight boxes of eight callers in one batch: what happens to one of them does not happen to the others."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest

from boxmask.v1 import labeling_pb2 as pb
from boxmask_core.boxes import Box
from boxmask_core.instances import Instance
from tests.faults.neighbours import TIMEOUT, answered
from tests.faults.servers import Server, serving
from tests.server.pictures import encoded, png
from tests.server.serving import content_of, request_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MATES = [
    request_of(png("cat"), Instance(Box(40 + 6 * i, 8 + 4 * i, 150 + 6 * i, 100 + 4 * i), "cat"))
    for i in range(8)
]
POISON = request_of(encoded(np.full((100, 100, 3), 255, np.uint8)), Instance(Box(30, 30, 70, 70), "cat"))
VICTIM = 3


@pytest.fixture(scope="module")
def server(touchy_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(touchy_bundle, tmp_path_factory.mktemp("touchy"), "--max-batch", "8") as running:
        yield running
        assert running.process.poll() is None


@pytest.fixture(scope="module")
def undisturbed(server: Server) -> list[bytes]:
    with server.stub() as stub:
        return [answered(stub, question) for question in MATES]


@pytest.mark.parametrize("moment", [0.0, 0.02, 0.06, 0.12, 0.2])
def test_seven_are_answered_when_the_eighth_goes_away(
    server: Server, undisturbed: list[bytes], moment: float
) -> None:
    before = server.held()
    with server.stub() as stub:
        plug = stub.PseudoLabel.future(MATES[0])  # while it runs, the eight gather
        time.sleep(0.01)
        calls = [stub.PseudoLabel.future(question, timeout=TIMEOUT) for question in MATES]
        time.sleep(moment)
        calls[VICTIM].cancel()
        plug.result()
        others = [i for i in range(8) if i != VICTIM]
        assert [content_of(calls[i].result()) for i in others] == [undisturbed[i] for i in others]
    server.assert_well(before)


def test_seven_are_answered_when_the_eighth_cannot_be(server: Server, undisturbed: list[bytes]) -> None:
    before = server.held()
    with server.stub() as stub:
        plug = stub.PseudoLabel.future(MATES[0])
        time.sleep(0.01)
        questions = [*MATES[:VICTIM], POISON, *MATES[VICTIM + 1 :]]
        calls = [stub.PseudoLabel.future(question, timeout=TIMEOUT) for question in questions]
        plug.result()
        for i, call in enumerate(calls):
            if i != VICTIM:
                assert content_of(call.result()) == undisturbed[i]
                continue
            with pytest.raises(grpc.RpcError) as caught:
                call.result()
            assert caught.value.code() is grpc.StatusCode.INTERNAL
    server.assert_well(before)


def test_a_stream_is_answered_but_for_its_poison(server: Server, undisturbed: list[bytes]) -> None:
    before = server.held()
    questions = [*MATES[:VICTIM], POISON, *MATES[VICTIM + 1 :]]
    items = [pb.StreamPseudoLabelRequest(item_id=str(i), request=each) for i, each in enumerate(questions)]
    with server.stub() as stub:
        answers = {answer.item_id: answer for answer in stub.StreamPseudoLabel(iter(items), timeout=TIMEOUT)}
    assert answers.pop(str(VICTIM)).error.code == grpc.StatusCode.INTERNAL.value[0]
    assert {key: content_of(answer.response) for key, answer in answers.items()} == {
        str(i): undisturbed[i] for i in range(8) if i != VICTIM
    }
    server.assert_well(before)


def test_many_poisons_at_once_keep_nobody_from_an_answer(server: Server, undisturbed: list[bytes]) -> None:
    before = server.held()

    def ask(i: int) -> bytes | grpc.StatusCode:
        try:
            return answered(stub, POISON if i % 2 else MATES[i % 8])
        except grpc.RpcError as error:
            return error.code()

    with server.stub() as stub, ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(ask, range(24)))
    assert answers == [grpc.StatusCode.INTERNAL if i % 2 else undisturbed[i % 8] for i in range(24)]
    server.assert_well(before)
