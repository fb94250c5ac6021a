"""Reads the details that errors carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

if TYPE_CHECKING:
    import grpc


def status_of(error: grpc.aio.AioRpcError) -> Status:
    """Returns the rich status of a failed call."""
    metadata = dict(error.trailing_metadata() or ())
    value = metadata["grpc-status-details-bin"]
    assert isinstance(value, bytes)
    return Status.FromString(value)


def reason_of(status: Status) -> str:
    """Returns the reason of the status's ErrorInfo, which must be there and in our domain."""
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "boxmask"
    return info.reason


def field_of(status: Status) -> str | None:
    """Returns the field that the status's BadRequest names, if it has one."""
    for detail in status.details:
        bad = BadRequest()
        if detail.Unpack(bad):
            return bad.field_violations[0].field
    return None


def retry_seconds_of(status: Status) -> float | None:
    """Returns the delay of the status's RetryInfo, if it has one."""
    for detail in status.details:
        retry = RetryInfo()
        if detail.Unpack(retry):
            return retry.retry_delay.ToTimedelta().total_seconds()
    return None
