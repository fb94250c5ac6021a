"""Callers who do nothing wrong, while something goes wrong beside them."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from boxmask.v1 import labeling_pb2 as pb
from tests.server.pictures import CAT, CORNER, EAR, HEAD, png
from tests.server.serving import content_of, request_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boxmask.v1 import labeling_pb2_grpc as pb_grpc
    from tests.faults.servers import Server

TIMEOUT = 60.0

QUESTIONS: tuple[pb.PseudoLabelRequest | pb.SegmentRequest, ...] = (
    request_of(png("cat"), CAT, EAR, CORNER),
    request_of(png("astronaut"), HEAD),
    request_of(png("cat"), EAR, method=pb.METHOD_GRABCUT),
    pb.SegmentRequest(image=png("astronaut"), include_scores=True),
)


def answered(stub: pb_grpc.LabelingServiceStub, question: pb.PseudoLabelRequest | pb.SegmentRequest) -> bytes:
    """Returns all that a server answers, but for the timings."""
    if isinstance(question, pb.PseudoLabelRequest):
        return content_of(stub.PseudoLabel(question, timeout=TIMEOUT))
    return content_of(stub.Segment(question, timeout=TIMEOUT))


@contextlib.contextmanager
def neighbours(server: Server, callers: int = 2) -> Iterator[None]:
    """Asks all questions over and over while the block runs; each answer must be the one before the block.

    Each caller asks all of them once at least.

    Args:
        server: Who is asked.
        callers: Callers, each with a connection of its own.
    """
    with server.stub() as stub:
        undisturbed = [answered(stub, question) for question in QUESTIONS]
    over = threading.Event()
    wrong: list[object] = []

    def caller() -> None:
        try:
            with server.stub() as stub:
                while True:
                    for question, expected in zip(QUESTIONS, undisturbed, strict=True):
                        if answered(stub, question) != expected:
                            wrong.append(f"another answer to {type(question).__name__}")
                    if over.is_set():
                        return
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=caller) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[:3]
