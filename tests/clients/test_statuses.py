"""Statuses become the client's errors, from whatever they come."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from boxmask_client import (
    AuthenticationError,
    Client,
    DeadlineExceededError,
    InternalError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    RejectedError,
    Retry,
    ServerError,
    UnavailableError,
    UnsupportedError,
    errors,
)
from boxmask_client.statuses import from_status
from tests.clients.both_stacks import both_stacks
from tests.clients.scripted_server import failing, scripted, status_of

if TYPE_CHECKING:
    from collections.abc import Callable

EXPECTED: dict[grpc.StatusCode, type[ServerError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: RejectedError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.FAILED_PRECONDITION: UnsupportedError,
    grpc.StatusCode.UNIMPLEMENTED: UnsupportedError,
    grpc.StatusCode.UNAUTHENTICATED: AuthenticationError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: OverloadedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.CANCELLED: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    grpc.StatusCode.INTERNAL: InternalError,
    grpc.StatusCode.UNKNOWN: InternalError,
    grpc.StatusCode.DATA_LOSS: InternalError,
}
CONTRACT = Path(__file__).parents[2] / "protos/boxmask/v1/labeling.proto"
FULL = status_of(
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    "full",
    ErrorInfo(reason="QUEUE_FULL", domain="boxmask"),
    RetryInfo(retry_delay=Duration(nanos=100_000_000)),
)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_code_becomes_an_error_that_names_it(code: grpc.StatusCode) -> None:
    error = from_status(status_of(code, "it went wrong", ErrorInfo(reason="SOME_REASON", domain="boxmask")))
    assert type(error) is EXPECTED.get(code, ServerError)
    assert error.code == code.name
    assert error.reason == "SOME_REASON"
    assert str(error) == f"it went wrong [{code.name}, SOME_REASON]"


def test_a_code_that_no_one_knows_is_internal() -> None:
    assert isinstance(from_status(Status(code=99, message="?")), InternalError)


def test_the_table_of_errors_holds_every_reason_of_the_contract_and_no_other() -> None:
    sentence = re.search(r"one of the reasons (.*?)\. Bad input", CONTRACT.read_text(), re.DOTALL)
    assert sentence is not None
    reasons = set(re.findall(r"[A-Z_]{4,}", sentence[1]))
    assert len(reasons) > 10
    assert errors.__doc__ is not None
    codes = {code.name for code in grpc.StatusCode}
    told = set(re.findall(r"\b[A-Z_]{4,}\b", errors.__doc__))
    assert reasons <= told
    assert told <= reasons | codes


def test_an_error_names_the_request_that_it_answers() -> None:
    error = from_status(status_of(grpc.StatusCode.INTERNAL, "it went wrong"), "abc")
    assert error.request_id == "abc"
    assert str(error) == "it went wrong [INTERNAL, request abc]"


def test_a_full_queue_says_when_to_come_back() -> None:
    retry = RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000))
    error = from_status(status_of(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry))
    assert isinstance(error, OverloadedError)
    assert error.retry_after == 1.5


def test_a_full_queue_without_advice_says_none() -> None:
    error = from_status(status_of(grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!"))
    assert isinstance(error, OverloadedError)
    assert error.retry_after is None


def test_a_message_that_grpc_finds_too_large_is_no_overload() -> None:
    sentence = "CLIENT: Sent message larger than max (100 vs. 10)"
    error = from_status(status_of(grpc.StatusCode.RESOURCE_EXHAUSTED, sentence))
    assert isinstance(error, RejectedError)


def test_field_violations_are_kept() -> None:
    violation = BadRequest.FieldViolation(field="instances[3].box", description="x0 < x1")
    bad = BadRequest(field_violations=[violation])
    error = from_status(status_of(grpc.StatusCode.INVALID_ARGUMENT, "invalid box", bad))
    assert isinstance(error, RejectedError)
    assert error.violations == (("instances[3].box", "x0 < x1"),)


@both_stacks
def test_details_and_the_request_survive_the_wire(connect: Callable[..., Client], tmp_path: Path) -> None:
    with (
        scripted(f"unix:{tmp_path}/socket", hook=failing(1, FULL)) as (server, address),
        connect(address) as client,
        pytest.raises(OverloadedError) as caught,
    ):
        client.models()
    assert (caught.value.reason, caught.value.retry_after) == ("QUEUE_FULL", 0.1)
    assert caught.value.request_id == server.metadata["x-request-id"]


@both_stacks
@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
def test_a_server_that_is_unavailable_for_a_moment_is_asked_again(
    connect: Callable[..., Client], tmp_path: Path, code: grpc.StatusCode
) -> None:
    restarting = failing(2, status_of(code, "restarting"))
    with (
        scripted(f"unix:{tmp_path}/socket", hook=restarting) as (server, address),
        connect(address) as client,
    ):
        assert client.models()
    assert len(server.calls) == 3


@both_stacks
def test_a_large_image_is_asked_again_as_well(connect: Callable[..., Client], tmp_path: Path) -> None:
    restarting = failing(1, status_of(grpc.StatusCode.UNAVAILABLE, "restarting"))
    with (
        scripted(f"unix:{tmp_path}/socket", hook=restarting) as (server, address),
        connect(address) as client,
    ):
        assert client.pseudo_label(b"x" * 5_000_000, []).width == 5_000_000
    assert len(server.calls) == 2


@both_stacks
def test_whoever_wants_no_second_attempt_gets_none(connect: Callable[..., Client], tmp_path: Path) -> None:
    restarting = failing(9, status_of(grpc.StatusCode.UNAVAILABLE, "restarting"))
    with (
        scripted(f"unix:{tmp_path}/socket", hook=restarting) as (server, address),
        connect(address, retry=Retry(attempts=1)) as client,
        pytest.raises(UnavailableError),
    ):
        client.models()
    assert len(server.calls) == 1


@both_stacks
def test_a_rejected_question_is_not_asked_again(connect: Callable[..., Client], tmp_path: Path) -> None:
    rejecting = failing(9, status_of(grpc.StatusCode.INVALID_ARGUMENT, "no"))
    with (
        scripted(f"unix:{tmp_path}/socket", hook=rejecting) as (server, address),
        connect(address) as client,
        pytest.raises(RejectedError),
    ):
        client.models()
    assert len(server.calls) == 1


@both_stacks
def test_a_full_queue_is_asked_again_only_where_the_caller_says_so(
    connect: Callable[..., Client], tmp_path: Path
) -> None:
    with scripted(f"unix:{tmp_path}/socket") as (server, address):
        server.hook = failing(2, FULL)
        with connect(address) as client, pytest.raises(OverloadedError):
            client.models()
        server.hook = failing(2, FULL)
        with connect(address, retry=Retry(when_full=2)) as client:
            assert client.models()
        server.hook = failing(3, FULL)
        with connect(address, retry=Retry(when_full=2)) as client, pytest.raises(OverloadedError):
            client.models()
    assert len(server.calls) == 1 + 3 + 3


@both_stacks
def test_a_pause_that_would_outlast_the_timeout_is_not_begun(
    connect: Callable[..., Client], tmp_path: Path
) -> None:
    later = status_of(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", RetryInfo(retry_delay=Duration(seconds=30)))
    with (
        scripted(f"unix:{tmp_path}/socket", hook=failing(9, later)) as (server, address),
        connect(address, timeout=5, retry=Retry(when_full=3)) as client,
        pytest.raises(OverloadedError),
    ):
        client.models()
    assert len(server.calls) == 1
