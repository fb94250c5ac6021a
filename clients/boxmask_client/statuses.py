"""From a gRPC status to the client's errors: the only place that reads status details."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from boxmask_client.errors import (
    AuthenticationError,
    DeadlineExceededError,
    InternalError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    RejectedError,
    ServerError,
    UnavailableError,
    UnsupportedError,
)

Detail = TypeVar("Detail", bound=Message)

DETAILS_KEY: Final = "grpc-status-details-bin"
REQUEST_ID: Final = "x-request-id"
"""The metadata that names a call, on its way there and back."""

_NOT_SENT: Final = "Internal error from Core"
"""What gRPC's asyncio stack says, until it knows better, of a message that it could not send."""
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_PLAIN: Final[dict[grpc.StatusCode, type[ServerError]]] = {
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.FAILED_PRECONDITION: UnsupportedError,
    grpc.StatusCode.UNIMPLEMENTED: UnsupportedError,
    grpc.StatusCode.UNAUTHENTICATED: AuthenticationError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    # What this side cancels comes to no error of a server's.
    grpc.StatusCode.CANCELLED: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    grpc.StatusCode.INTERNAL: InternalError,
    grpc.StatusCode.UNKNOWN: InternalError,
    grpc.StatusCode.DATA_LOSS: InternalError,
}


def from_rpc_error(error: grpc.RpcError, request_id: str = "") -> ServerError:
    """Returns the client's error for a call that failed.

    Args:
        error: What gRPC raised, in either stack.
        request_id: What the call is called in the server's log, if the server does not say.
    """
    pairs: Any = error.trailing_metadata() or ()  # its type differs between the two stacks
    trailing = dict(tuple(pair) for pair in pairs)
    name = trailing.get(REQUEST_ID, request_id)
    details = trailing.get(DETAILS_KEY)
    if isinstance(details, bytes):
        return from_status(Status.FromString(details), name)
    status = Status(code=error.code().value[0], message=error.details() or "the call failed")
    return from_status(status, name)


def from_status(status: Status, request_id: str = "") -> ServerError:
    """Returns the client's error for a status, as of one item of a stream.

    Args:
        status: What the server says.
        request_id: What the call is called in the server's log.
    """
    error = _from_status(status)
    error.request_id = request_id
    return error


def _from_status(status: Status) -> ServerError:
    if status.message == _NOT_SENT:
        return UnavailableError("UNAVAILABLE", "", "the connection broke while a question was sent")
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    reason = _detail(status, ErrorInfo()).reason
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and not _is_oversize(status):
        return OverloadedError(code.name, reason, status.message, _retry_after(status))
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED):
        return RejectedError(code.name, reason, status.message, _violations(status))
    return _PLAIN.get(code, ServerError)(code.name, reason, status.message)


def _is_oversize(status: Status) -> bool:
    # gRPC itself refuses a message above the limit with the code of a full queue, and without details.
    return not status.details and "larger than max" in status.message


def _retry_after(status: Status) -> float | None:
    retry = _detail(status, RetryInfo())
    return retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None


def _violations(status: Status) -> tuple[tuple[str, str], ...]:
    bad = _detail(status, BadRequest())
    return tuple((violation.field, violation.description) for violation in bad.field_violations)


def _detail(status: Status, into: Detail) -> Detail:
    """Returns ``into``, filled if the status carries a detail of its kind."""
    any(detail.Unpack(into) for detail in status.details)
    return into
