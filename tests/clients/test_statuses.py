"""Statuses become the client's errors, from whatever they come."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from boxmask.v1 import labeling_pb2 as pb
from boxmask_client import (
    Client,
    DeadlineExceededError,
    InternalError,
    NotFoundError,
    OverloadedError,
    RejectedError,
    ServerError,
    UnavailableError,
    UnsupportedError,
)
from boxmask_client.statuses import DETAILS_KEY, from_status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from google.protobuf.message import Message

EXPECTED: dict[grpc.StatusCode, type[ServerError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: RejectedError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.FAILED_PRECONDITION: UnsupportedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: OverloadedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    grpc.StatusCode.INTERNAL: InternalError,
    grpc.StatusCode.UNKNOWN: InternalError,
    grpc.StatusCode.DATA_LOSS: InternalError,
}


def _status(code: grpc.StatusCode, message: str, *details: Message) -> Status:
    packed = []
    for detail in details:
        wrapped = AnyMessage()
        wrapped.Pack(detail)
        packed.append(wrapped)
    return Status(code=code.value[0], message=message, details=packed)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_code_becomes_an_error_that_names_it(code: grpc.StatusCode) -> None:
    error = from_status(_status(code, "it went wrong", ErrorInfo(reason="SOME_REASON", domain="boxmask")))
    assert type(error) is EXPECTED.get(code, ServerError)
    assert error.code == code.name
    assert error.reason == "SOME_REASON"
    assert str(error) == f"it went wrong [{code.name}, SOME_REASON]"


def test_a_code_that_no_one_knows_is_internal() -> None:
    assert isinstance(from_status(Status(code=99, message="?")), InternalError)


def test_a_full_queue_says_when_to_come_back() -> None:
    retry = RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000))
    error = from_status(_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry))
    assert isinstance(error, OverloadedError)
    assert error.retry_after == 1.5


def test_a_full_queue_without_advice_says_none() -> None:
    error = from_status(_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!"))
    assert isinstance(error, OverloadedError)
    assert error.retry_after is None


def test_a_message_that_grpc_finds_too_large_is_no_overload() -> None:
    sentence = "CLIENT: Sent message larger than max (100 vs. 10)"
    error = from_status(_status(grpc.StatusCode.RESOURCE_EXHAUSTED, sentence))
    assert isinstance(error, RejectedError)


def test_field_violations_are_kept() -> None:
    violation = BadRequest.FieldViolation(field="instances[3].box", description="x0 < x1")
    bad = BadRequest(field_violations=[violation])
    error = from_status(_status(grpc.StatusCode.INVALID_ARGUMENT, "invalid box", bad))
    assert isinstance(error, RejectedError)
    assert error.violations == (("instances[3].box", "x0 < x1"),)


class _Scripted:
    """A service that fails as often as it is told, then answers."""

    def __init__(self, status: Status, failures: int) -> None:
        self._status = status
        self._failures = failures
        self.calls = 0

    def list_models(self, _: pb.ListModelsRequest, context: grpc.ServicerContext) -> pb.ListModelsResponse:
        self.calls += 1
        if self.calls <= self._failures:
            context.set_trailing_metadata(((DETAILS_KEY, self._status.SerializeToString()),))
            code = next(code for code in grpc.StatusCode if code.value[0] == self._status.code)
            context.abort(code, self._status.message)
        return pb.ListModelsResponse()

    def handlers(self) -> grpc.GenericRpcHandler:
        handler = grpc.unary_unary_rpc_method_handler(
            self.list_models,
            request_deserializer=pb.ListModelsRequest.FromString,
            response_serializer=pb.ListModelsResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler("boxmask.v1.LabelingService", {"ListModels": handler})


@contextmanager
def _serving(service: _Scripted, folder: Path) -> Iterator[Client]:
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((service.handlers(),))
    address = f"unix:{folder}/socket"
    server.add_insecure_port(address)
    server.start()
    try:
        with Client(address) as client:
            yield client
    finally:
        server.stop(None).wait()


def test_details_survive_the_wire(tmp_path: Path) -> None:
    info = ErrorInfo(reason="QUEUE_FULL", domain="boxmask")
    retry = RetryInfo(retry_delay=Duration(seconds=2))
    service = _Scripted(_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", info, retry), failures=1)
    with _serving(service, tmp_path) as client, pytest.raises(OverloadedError) as caught:
        client.models()
    assert (caught.value.reason, caught.value.retry_after) == ("QUEUE_FULL", 2.0)


def test_a_server_that_is_unavailable_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    service = _Scripted(_status(grpc.StatusCode.UNAVAILABLE, "restarting"), failures=2)
    with _serving(service, tmp_path) as client:
        assert client.models() == ()
    assert service.calls == 3


def test_a_rejected_question_is_not_asked_again(tmp_path: Path) -> None:
    service = _Scripted(_status(grpc.StatusCode.INVALID_ARGUMENT, "no"), failures=9)
    with _serving(service, tmp_path) as client, pytest.raises(RejectedError):
        client.models()
    assert service.calls == 1
