"""The one table from errors to what goes over the wire."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from boxmask_core.errors import (
    AuthenticationError,
    BoxmaskError,
    BundleError,
    ClusterError,
    DatasetError,
    DeadlineError,
    DeviceError,
    DrainingError,
    ImageTooLargeError,
    InvalidBoxError,
    InvalidImageError,
    InvalidInputError,
    InvalidMaskError,
    InvalidRequestError,
    ListenError,
    MissingExtraError,
    ModelNotFoundError,
    OutputError,
    ParityError,
    PermissionDeniedError,
    QueueFullError,
    SettingsError,
    TooManyBoxesError,
    TooManyCallsError,
    TooManyFailuresError,
    TrainingError,
)
from boxmask_server.operation.call import CURRENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn

    from google.protobuf.message import Message

DOMAIN = "boxmask"
DETAILS_KEY = "grpc-status-details-bin"
MAX_MESSAGE = 1000
"""Bytes of a message. It travels three times in headers, once with up to three characters a byte, and clients
refuse headers above 8 KiB."""
RETRY_SECONDS = 1

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rule:
    """How one error looks on the wire.

    Attributes:
        code: The gRPC code.
        reason: The reason of its ErrorInfo.
    """

    code: grpc.StatusCode
    reason: str


_INTERNAL = Rule(grpc.StatusCode.INTERNAL, "INTERNAL")
_BAD = grpc.StatusCode.INVALID_ARGUMENT

RULES: dict[type[BoxmaskError], Rule] = {
    BoxmaskError: _INTERNAL,
    InvalidInputError: Rule(_BAD, "INVALID_REQUEST"),
    InvalidRequestError: Rule(_BAD, "INVALID_REQUEST"),
    InvalidBoxError: Rule(_BAD, "INVALID_BOX"),
    InvalidImageError: Rule(_BAD, "INVALID_IMAGE"),
    ImageTooLargeError: Rule(_BAD, "IMAGE_TOO_LARGE"),
    InvalidMaskError: Rule(_BAD, "INVALID_REQUEST"),
    TooManyBoxesError: Rule(_BAD, "TOO_MANY_BOXES"),
    ModelNotFoundError: Rule(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND"),
    DatasetError: Rule(_BAD, "INVALID_REQUEST"),
    BundleError: _INTERNAL,
    DeviceError: _INTERNAL,
    ListenError: _INTERNAL,
    QueueFullError: Rule(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL"),
    TooManyCallsError: Rule(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS"),
    AuthenticationError: Rule(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
    PermissionDeniedError: Rule(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED"),
    DrainingError: Rule(grpc.StatusCode.UNAVAILABLE, "DRAINING"),
    DeadlineError: Rule(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    MissingExtraError: Rule(grpc.StatusCode.FAILED_PRECONDITION, "MISSING_EXTRA"),
    SettingsError: _INTERNAL,
    TrainingError: _INTERNAL,
    ParityError: _INTERNAL,
    OutputError: _INTERNAL,
    TooManyFailuresError: _INTERNAL,
    ClusterError: _INTERNAL,
}


def to_status(error: Exception) -> Status:
    """Turns an error into what the caller is told.

    Errors that are not the caller's business are logged with their trace; the caller learns only that they
    happened.
    """
    rule = _rule(error)
    message = str(error).encode()[:MAX_MESSAGE].decode(errors="ignore")
    if rule is _INTERNAL:
        message = "internal error; the server's log holds its trace"
        logger.error("internal error", exc_info=error)
    status = Status(code=rule.code.value[0], message=message)
    status.details.add().Pack(ErrorInfo(reason=rule.reason, domain=DOMAIN))
    for detail in _details(error, message):
        status.details.add().Pack(detail)
    return status


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> NoReturn:
    """Ends the call with the error's status, beside the metadata that were already to be sent at its end.

    Raises:
        CancelledError: The caller has left in this very moment, and there is nobody to tell.
    """
    status = to_status(error)
    if (call := CURRENT.get()) is not None:
        call.reason = reason_of(error)
    details = (*(context.trailing_metadata() or ()), (DETAILS_KEY, status.SerializeToString()))
    try:
        await context.abort(_rule(error).code, status.message, details)
    except grpc.aio.InternalError:
        raise asyncio.CancelledError from None


def reason_of(error: Exception) -> str:
    """Returns the reason that the caller is given in ErrorInfo."""
    return _rule(error).reason


def _rule(error: Exception) -> Rule:
    return RULES.get(type(error), _INTERNAL) if isinstance(error, BoxmaskError) else _INTERNAL


def _details(error: Exception, message: str) -> Iterator[Message]:
    if (field := _field(error)) is not None:
        violation = BadRequest.FieldViolation(field=field, description=message)
        yield BadRequest(field_violations=[violation])
    if isinstance(error, QueueFullError):
        yield RetryInfo(retry_delay=Duration(seconds=RETRY_SECONDS))
    if isinstance(error, TooManyCallsError):
        yield RetryInfo(retry_delay=_duration(error.retry_seconds))


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def _field(error: Exception) -> str | None:
    """Returns the path, in a PseudoLabelRequest or a SegmentRequest, of the field that an error is about."""
    match error:
        case InvalidBoxError(index=int(index)):
            return f"instances[{index}].box"
        case InvalidImageError() | ImageTooLargeError():
            return "image"
        case TooManyBoxesError():
            return "instances"
        case InvalidRequestError(field=field):
            return str(field)
    return None
