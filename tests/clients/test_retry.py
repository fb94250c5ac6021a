"""How often one question is asked, by whom it is answered, and what gRPC is told of it."""

from __future__ import annotations

import re

import grpc
import pytest
from grpc import ChannelConnectivity as State

from boxmask_client import KeepAlive, OverloadedError, Question, RejectedError, Retry, Tls, UnavailableError
from boxmask_client.attempts import Attempts
from boxmask_client.base import name_of
from boxmask_client.connection import Connection
from boxmask_client.messages import to_request
from boxmask_client.rotation import Rotation

GONE = UnavailableError("UNAVAILABLE", "", "gone")
REJECTED = RejectedError("INVALID_ARGUMENT", "", "no")
READY, FAILING = State.READY, State.TRANSIENT_FAILURE
TWO = ("one:1", "two:2")


@pytest.mark.parametrize("failures", [1, 2, 3, 9])
def test_pauses_grow_up_to_their_maximum_and_differ(failures: int) -> None:
    retry = Retry(initial=0.1, maximum=0.5, multiplier=2)
    expected = min(0.5, 0.1 * 2 ** (failures - 1))
    pauses = {retry.pause(failures) for _ in range(50)}
    assert len(pauses) > 40
    assert 0.8 * expected <= min(pauses) <= max(pauses) <= 1.2 * expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": 6},
        {"initial": 0},
        {"initial": 3, "maximum": 2},
        {"multiplier": 0.5},
        {"when_full": -1},
        {"patience": -1},
    ],
)
def test_a_policy_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Retry(**wrong)  # type: ignore[arg-type]  # attempts is whole in each


def test_the_servers_that_are_ready_take_turns() -> None:
    rotation = Rotation()
    states = [READY, FAILING, READY, READY]
    assert [rotation.choose(states, set()) for _ in range(6)] == [0, 2, 3, 0, 2, 3]
    assert {rotation.choose(states, {0, 3}) for _ in range(4)} == {2}


def test_nothing_is_chosen_while_a_server_may_become_ready() -> None:
    rotation = Rotation()
    assert rotation.choose([FAILING, State.CONNECTING], set()) is None
    assert rotation.choose([State.IDLE, FAILING], set()) is None
    assert rotation.choose([FAILING, FAILING], set()) in {0, 1}
    assert rotation.choose([FAILING, FAILING], set(), wait_for_ready=True) is None


def test_a_server_alone_is_always_chosen() -> None:
    assert Rotation().choose([State.IDLE], set(), wait_for_ready=True) == 0


def test_the_other_servers_are_asked_at_once_and_all_of_them_after_a_pause() -> None:
    attempts = Attempts(Retry(attempts=2, initial=0.2), timeout=60, now=lambda: 0.0)
    states = [READY, READY, FAILING]
    assert attempts.pause(GONE, 0, states) == 0
    assert attempts.tried == {0}
    assert 0.1 < attempts.pause(GONE, 1, states) < 0.3
    assert attempts.tried == set()
    assert attempts.pause(GONE, 1, states) == 0
    with pytest.raises(UnavailableError):
        attempts.pause(GONE, 0, states)


def test_one_server_alone_is_asked_again_by_grpc_and_not_here() -> None:
    with pytest.raises(UnavailableError):
        Attempts(Retry(), timeout=60).pause(GONE, 0, [READY])


def test_an_answer_is_final_even_if_it_is_an_error() -> None:
    with pytest.raises(RejectedError):
        Attempts(Retry(), timeout=60).pause(REJECTED, 0, [READY, READY])


def test_a_full_queue_is_asked_again_after_the_pause_that_it_asks_for() -> None:
    full = OverloadedError("RESOURCE_EXHAUSTED", "QUEUE_FULL", "full", retry_after=1.5)
    attempts = Attempts(Retry(when_full=2), timeout=60)
    assert attempts.pause(full, 0, [READY]) == 1.5
    full.retry_after = None
    assert 0.2 < attempts.pause(full, 0, [READY]) < 0.5
    with pytest.raises(OverloadedError):
        attempts.pause(full, 0, [READY])


def test_a_pause_beyond_the_timeout_is_no_use() -> None:
    clock = [0.0]
    attempts = Attempts(Retry(initial=1, maximum=1), timeout=2, now=lambda: clock[0])
    clock[0] = 1.9
    assert attempts.remaining() == pytest.approx(0.1)
    with pytest.raises(UnavailableError):
        attempts.pause(GONE, 0, [READY, FAILING])
    clock[0] = 5
    assert attempts.remaining() == 0


def test_grpc_is_told_to_ask_one_server_again_but_for_streams_and_administration() -> None:
    retry = Retry(attempts=3, initial=0.5, maximum=4, multiplier=3)
    config = Connection(("one:1",), retry).service_config("one:1")
    (method,) = config["methodConfig"]
    assert method["retryPolicy"] == {
        "maxAttempts": 3,
        "initialBackoff": "0.500s",
        "maxBackoff": "4.000s",
        "backoffMultiplier": 3,
        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
    }
    assert {name["method"] for name in method["name"]} == {"PseudoLabel", "Segment", "ListModels", "GetModel"}
    assert "healthCheckConfig" not in config
    assert "methodConfig" not in Connection(("one:1",), Retry(attempts=1)).service_config("one:1")


@pytest.mark.parametrize("targets", [TWO, ("dns:///name:8500",)])
def test_servers_that_are_several_are_watched_for_draining(targets: tuple[str, ...]) -> None:
    connection = Connection(targets)
    config = connection.service_config(targets[0])
    assert config["healthCheckConfig"] == {"serviceName": "boxmask.v1.LabelingService"}
    assert config["loadBalancingConfig"] == [{"round_robin": {}}]
    assert ("methodConfig" in config) == (targets is not TWO)
    watched = connection.service_config(targets[0], watched=True)
    assert ("healthCheckConfig" in watched) == (targets is not TWO)  # nobody else sees behind a name


def test_a_channel_knows_the_clients_name_its_pings_and_its_limits() -> None:
    keep_alive = KeepAlive(time=15, timeout=3, without_calls=True)
    connection = Connection(TWO, keep_alive=keep_alive, max_message_bytes=1000, server_name="box")
    options = dict(connection.options("one:1"))
    assert re.fullmatch(r"boxmask-client/\d+\.\d+\.\d+", options["grpc.primary_user_agent"])
    assert options["grpc.keepalive_time_ms"] == 15_000
    assert options["grpc.keepalive_timeout_ms"] == 3_000
    assert options["grpc.keepalive_permit_without_calls"] == 1
    assert options["grpc.max_send_message_length"] == options["grpc.max_receive_message_length"] == 1000
    assert options["grpc.per_rpc_retry_buffer_size"] > 1000
    assert options["grpc.ssl_target_name_override"] == "box"


def test_pings_that_the_server_would_not_bear_are_refused() -> None:
    with pytest.raises(ValueError, match="every 10 seconds at most, but got 1; the server would close"):
        KeepAlive(time=1)
    with pytest.raises(ValueError, match="timeout above 0"):
        KeepAlive(timeout=0)


def test_a_token_travels_with_every_call_and_is_asked_for_each_time() -> None:
    tokens = iter(["first", "second"])
    connection = Connection(("one:1",), token=lambda: next(tokens))
    assert connection.metadata("abc") == (("x-request-id", "abc"), ("authorization", "Bearer first"))
    assert connection.metadata("abc")[1] == ("authorization", "Bearer second")
    assert "secret" not in repr(Connection(("one:1",), token="secret"))


@pytest.mark.parametrize("token", ["", "two words", "new\nline", "schlüssel"])
def test_a_token_that_cannot_travel_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ValueError, match="visible ASCII characters; its value is not shown") as caught:
        Connection(("one:1",), token=token).metadata("abc")
    assert not token or token not in str(caught.value)


@pytest.mark.parametrize("request_id", ["", "new\nline", "größe"])
def test_a_request_name_that_cannot_travel_is_refused(request_id: str) -> None:
    with pytest.raises(ValueError, match="expected a request_id of printable ASCII"):
        name_of(request_id)


def test_every_call_has_a_name_of_its_own() -> None:
    assert len({name_of(None) for _ in range(100)}) == 100
    assert name_of("mine") == "mine"


def test_a_certificate_goes_with_its_key() -> None:
    with pytest.raises(ValueError, match="key is missing"):
        Tls(cert=b"certificate")
    assert "private" not in repr(Tls(cert=b"certificate", key=b"private"))


@pytest.mark.parametrize(("priority", "expected"), [(None, 0), ("interactive", 1), ("bulk", 2)])
def test_a_question_says_who_goes_first_and_which_bundle_answers(priority: str | None, expected: int) -> None:
    question = Question(b"image", priority=priority, bundle="voc", version="3")  # type: ignore[arg-type]  # one of those
    request = to_request(question)
    assert (request.priority, request.bundle, request.version) == (expected, "voc", "3")


def test_compression_is_off_unless_asked_for() -> None:
    assert Connection(("one:1",)).compression is grpc.Compression.NoCompression
