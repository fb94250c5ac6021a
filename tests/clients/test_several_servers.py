"""One client of several servers: the load is shared, and what is gone or drains is passed over."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo

from boxmask_client import (
    Answer,
    AsyncClient,
    Client,
    DeadlineExceededError,
    Question,
    RejectedError,
    Retry,
    ServerError,
    UnavailableError,
)
from boxmask_client.targets import split
from tests.clients.both_stacks import both_stacks
from tests.clients.scripted_server import ScriptedServer, failing, scripted, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Connect = Callable[..., Client]

QUESTION = Question(b"image")
DRAINING = status_of(
    grpc.StatusCode.UNAVAILABLE, "the server drains", ErrorInfo(reason="DRAINING", domain="boxmask")
)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[ScriptedServer, ScriptedServer, str]]:
    """Two servers, one on a socket and one on a name, and their addresses."""
    with ExitStack() as stack:
        one, first = stack.enter_context(scripted(f"unix:{tmp_path}/one"))
        other, second = stack.enter_context(scripted("localhost:0", "two"))
        yield one, other, f"{first},{second}"


def _askers(client: Client, count: int) -> Counter[str]:
    return Counter(client.pseudo_label(b"image", []).bundle for _ in range(count))


def _until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@both_stacks
def test_single_calls_are_shared_evenly(
    connect: Connect, two: tuple[ScriptedServer, ScriptedServer, str]
) -> None:
    with connect(two[2]) as client:
        _until(lambda: len(_askers(client, 2)) == 2)
        assert _askers(client, 20) == {"one": 10, "two": 10}


@both_stacks
def test_addresses_may_come_as_a_sequence_and_a_name_may_stand_for_several(
    connect: Connect, two: tuple[ScriptedServer, ScriptedServer, str]
) -> None:
    _, second = two[2].split(",")
    with connect([second, f"dns:///{second}"]) as client:
        assert client.models()
        assert client.models()
    with connect(f"dns:///{second}") as client:
        assert client.models()


@both_stacks
def test_a_dead_address_costs_nothing(
    connect: Connect, two: tuple[ScriptedServer, ScriptedServer, str]
) -> None:
    one, _, addresses = two
    with connect(f"127.0.0.1:{_free_port()},{addresses.split(',')[0]}") as client:
        assert _askers(client, 10) == {"one": 10}
    assert len(one.calls) == 10


@both_stacks
def test_an_address_that_swallows_everything_holds_nothing_up(
    connect: Connect, two: tuple[ScriptedServer, ScriptedServer, str]
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,  # takes connections, and never says a word
        connect(f"127.0.0.1:{mute.getsockname()[1]},{two[2]}") as client,
    ):
        start = time.monotonic()
        assert sum(_askers(client, 10).values()) == 10
        outcomes = dict(client.stream_pseudo_label([(i, QUESTION) for i in range(20)]))
        assert len(outcomes) == 20
        assert time.monotonic() - start < 4  # an attempt to connect takes five seconds


@both_stacks
def test_a_server_that_drains_gets_no_new_calls_and_has_them_again_when_it_is_back(
    connect: Connect, two: tuple[ScriptedServer, ScriptedServer, str]
) -> None:
    one, _, addresses = two
    with connect(addresses) as client:
        _until(lambda: len(_askers(client, 2)) == 2)
        one.set_serving(False)
        _until(lambda: _askers(client, 4) == {"two": 4})
        before = len(one.calls)
        assert _askers(client, 10) == {"two": 10}
        assert len(one.calls) == before
        one.set_serving(True)
        _until(lambda: len(_askers(client, 2)) == 2)


@both_stacks
def test_a_call_that_a_server_refuses_is_answered_by_the_other(
    connect: Connect, two: tuple[ScriptedServer, ScriptedServer, str]
) -> None:
    one, _, addresses = two
    with connect(addresses) as client:
        _until(lambda: len(_askers(client, 2)) == 2)
        one.hook = failing(100, DRAINING)
        start = time.monotonic()
        assert _askers(client, 10) == {"two": 10}
        assert time.monotonic() - start < 1
        assert 100 > len(one.calls) >= 5


@both_stacks
def test_a_server_that_is_killed_is_passed_over_until_it_is_back(connect: Connect, tmp_path: Path) -> None:
    one, other = ScriptedServer("one"), ScriptedServer("two")
    try:
        addresses = one.start(f"unix:{tmp_path}/one"), other.start(f"unix:{tmp_path}/two")
        with connect(addresses) as client:
            _until(lambda: len(_askers(client, 2)) == 2)
            other.stop()
            assert _askers(client, 10) == {"one": 10}
            other.start(addresses[1])
            _until(lambda: len(_askers(client, 2)) == 2)
    finally:
        one.stop()
        other.stop()


@both_stacks
def test_where_no_server_answers_the_call_is_unavailable_after_its_attempts(
    connect: Connect, tmp_path: Path
) -> None:
    retry = Retry(attempts=2, initial=0.05)
    with connect(f"unix:{tmp_path}/none,unix:{tmp_path}/neither", retry=retry) as client:
        with pytest.raises(UnavailableError, match=r"neither|none"):
            client.models()
        with pytest.raises(UnavailableError):
            list(client.stream_pseudo_label([(0, QUESTION)]))


@both_stacks
def test_a_question_that_one_server_rejects_is_not_taken_to_the_other(
    connect: Connect, two: tuple[ScriptedServer, ScriptedServer, str]
) -> None:
    one, other, addresses = two
    one.hook = other.hook = failing(9, status_of(grpc.StatusCode.INVALID_ARGUMENT, "no"))
    with connect(addresses) as client, pytest.raises(RejectedError):
        client.models()
    assert len(one.calls) + len(other.calls) == 1


@both_stacks
def test_waiting_finds_the_first_server_that_comes(connect: Connect, tmp_path: Path) -> None:
    server = ScriptedServer()
    starting = threading.Timer(0.5, lambda: server.start(f"unix:{tmp_path}/late"))
    starting.start()
    try:
        with connect(f"unix:{tmp_path}/never,unix:{tmp_path}/late") as client:
            client.wait_until_ready(20)
            assert server.calls == ["ListModels"]
    finally:
        starting.join()
        server.stop()


@both_stacks
def test_waiting_ends_at_its_timeout(connect: Connect, tmp_path: Path) -> None:
    with (
        connect(f"unix:{tmp_path}/none,unix:{tmp_path}/neither") as client,
        pytest.raises(DeadlineExceededError, match=r"no server was ready within 0\.2 s: unix:.*none, unix:"),
    ):
        client.wait_until_ready(0.2)


@both_stacks
def test_a_stream_is_worked_on_by_all_servers(
    connect: Connect, two: tuple[ScriptedServer, ScriptedServer, str]
) -> None:
    one, other, addresses = two
    one.hook = other.hook = lambda _, __: time.sleep(0.01)
    with connect(addresses) as client:
        outcomes = dict(client.stream_pseudo_label([(i, QUESTION) for i in range(60)]))
    answers = [outcome for outcome in outcomes.values() if isinstance(outcome, Answer)]
    assert len(answers) == 60
    shares = Counter(answer.bundle for answer in answers)
    assert min(shares["one"], shares["two"]) > 10


@both_stacks
def test_a_stream_outlives_each_of_its_servers(connect: Connect, tmp_path: Path) -> None:
    one, other = ScriptedServer("one"), ScriptedServer("two")
    one.hook = other.hook = lambda _, __: time.sleep(0.005)
    try:
        addresses = one.start(f"unix:{tmp_path}/one"), other.start(f"unix:{tmp_path}/two")
        with connect(addresses) as client:
            keys = []
            for key, outcome in client.stream_pseudo_label(((i, QUESTION) for i in range(300)), window=6):
                assert isinstance(outcome, Answer)
                keys.append(key)
                match len(keys):
                    case 50:
                        one.stop()
                    case 100:
                        one.start(addresses[0])
                    case 150:
                        _until(lambda: one.calls.count("StreamPseudoLabel") > 0)
                    case 250:
                        other.stop()
        assert sorted(keys) == list(range(300))
    finally:
        one.stop()
        other.stop()


@both_stacks
def test_a_stream_waits_for_its_only_server_to_come_back(connect: Connect, tmp_path: Path) -> None:
    server = ScriptedServer()
    starting: list[threading.Timer] = []
    try:
        address = server.start(f"unix:{tmp_path}/one")
        with connect(address, retry=Retry(attempts=2, initial=0.05)) as client:
            keys = []
            for key, outcome in client.stream_pseudo_label([(i, QUESTION) for i in range(40)], window=4):
                assert isinstance(outcome, Answer)
                keys.append(key)
                if len(keys) == 10:
                    server.stop()
                    starting = [threading.Timer(1.5, lambda: server.start(address))]
                    starting[0].start()
        assert sorted(keys) == list(range(40))
    finally:
        for timer in starting:
            timer.join()
        server.stop()


def test_closing_a_client_ends_its_stream_with_an_error(
    two: tuple[ScriptedServer, ScriptedServer, str],
) -> None:
    with Client(two[2]) as client:
        outcomes = client.stream_pseudo_label(((i, QUESTION) for i in range(10**6)), window=2)
        next(outcomes)
    with pytest.raises(ServerError, match="CANCELLED"):
        list(outcomes)


def test_closing_a_client_of_an_event_loop_ends_its_stream_with_an_error(
    two: tuple[ScriptedServer, ScriptedServer, str],
) -> None:
    async def scene() -> None:
        async with AsyncClient(two[2]) as client:
            outcomes = client.stream_pseudo_label(((i, QUESTION) for i in range(10**6)), window=2)
            await anext(outcomes)
        with pytest.raises(ServerError, match="CANCELLED"):
            async for _ in outcomes:
                pass

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("host:8500", ("host:8500",)),
        ("one:1, two:2,one:1", ("one:1", "two:2")),
        (["unix:/a,b", "[::1]:8500"], ("unix:/a,b", "[::1]:8500")),
        ("dns:///name:8500", ("dns:///name:8500",)),
    ],
)
def test_addresses_are_taken_apart(targets: str | list[str], expected: tuple[str, ...]) -> None:
    assert split(targets) == expected


@pytest.mark.parametrize("targets", ["", "host", "one:1,", "unix:/a,/b", "one:1,two", ":8500"])
def test_what_is_no_address_is_named(targets: str) -> None:
    with pytest.raises(ValueError, match="expected host:port, unix:/path or dns:///name:port, but got "):
        Client(targets)


@pytest.mark.parametrize("limit", [0, -1, 2**31])
def test_a_message_limit_that_grpc_cannot_count_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match=f"expected max_message_bytes from 1 to .*, but got {limit}"):
        Client("host:1", max_message_bytes=limit)


def test_no_address_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one server"):
        Client([])
