"""Connections: very slow ones, and very many."""

from __future__ import annotations

import contextlib
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from boxmask.v1 import labeling_pb2 as pb
from tests.faults.neighbours import QUESTIONS, answered, neighbours
from tests.faults.raw_http2 import PREFACE, connected, greeting, unfinished_call
from tests.faults.servers import Server, serving

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

METHOD = "/boxmask.v1.LabelingService/PseudoLabel"
SLOW, CROWD, CALLERS = 150, 1000, 50


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Lets this process, and the server that it starts, hold two thousand connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * CROWD
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this machine allows {hard} open files, the test needs {wanted}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_uploads_of_a_byte_at_a_time_keep_nobody_waiting(server: Server) -> None:
    before = server.held()
    beginnings = (PREFACE[:5], PREFACE, greeting(), greeting() + unfinished_call(METHOD, 1_000_000))
    with contextlib.ExitStack() as stack, neighbours(server):
        slow = [stack.enter_context(connected(server.address)) for _ in range(SLOW)]
        for i, connection in enumerate(slow):
            connection.sendall(beginnings[i % len(beginnings)])
        uploads = slow[len(beginnings) - 1 :: len(beginnings)]
        until = time.monotonic() + 3
        while time.monotonic() < until:
            for connection in uploads:
                connection.sendall(b"\0")
            time.sleep(0.01)
        assert all(_open(connection) for connection in uploads)
        assert server.held().memory < before.memory + 100


@pytest.mark.usefixtures("many_descriptors")
def test_a_thousand_connections_are_held_and_those_that_ask_are_answered(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    with serving(tiny_bundle, tmp_path) as server:
        with neighbours(server):
            pass
        before = server.held()
        with server.stub() as stub:
            expected = [answered(stub, question) for question in QUESTIONS]
        with contextlib.ExitStack() as stack, neighbours(server):
            for _ in range(CROWD - CALLERS):
                stack.enter_context(connected(server.address)).sendall(greeting())
            stubs = [stack.enter_context(server.stub()) for _ in range(CALLERS)]
            questions = [QUESTIONS[i % len(QUESTIONS)] for i in range(CALLERS)]
            with ThreadPoolExecutor(CALLERS) as pool:
                answers = list(pool.map(answered, stubs, questions))
            assert server.held().descriptors > before.descriptors + CROWD - CALLERS
            assert stubs[0].ListModels(pb.ListModelsRequest(), timeout=10).models
        assert answers == [expected[i % len(QUESTIONS)] for i in range(CALLERS)]
        server.assert_well(before)


def _open(connection: socket.socket) -> bool:
    """Tells whether the other side holds a connection."""
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while received := connection.recv(65_536):
            assert b"GOAWAY" not in received
        return False
    return True
