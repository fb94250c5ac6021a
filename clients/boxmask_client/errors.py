"""The errors that a server, or the way to it, gives.

::

    BoxmaskError
    `-- ServerError
        |-- RejectedError            the question cannot be worked on; asking again does not help
        |-- NotFoundError            the server holds no such network, bundle or version
        |-- UnsupportedError         the server was installed without what the question needs
        |-- AuthenticationError      the server does not know who asks: no token, or a wrong one
        |-- PermissionDeniedError    the server knows who asks, and does not let them
        |-- OverloadedError          too much is asked at once; ask again after `retry_after`
        |-- UnavailableError         no server there, or one that drains; ask again later, or another
        |-- DeadlineExceededError    the answer did not come in time
        `-- InternalError            a fault of the server, or of what lies between

Which error a server's reason becomes:

======================= ===================== ======================================================
Error                   gRPC code             Reasons
======================= ===================== ======================================================
`RejectedError`         INVALID_ARGUMENT      INVALID_BOX, INVALID_IMAGE, IMAGE_TOO_LARGE,
                                              TOO_MANY_BOXES, INVALID_REQUEST
`NotFoundError`         NOT_FOUND             MODEL_NOT_FOUND
`UnsupportedError`      FAILED_PRECONDITION,  MISSING_EXTRA; UNIMPLEMENTED has none: the server was
                        UNIMPLEMENTED         started without this service, or is older
`AuthenticationError`   UNAUTHENTICATED       UNAUTHENTICATED
`PermissionDeniedError` PERMISSION_DENIED     PERMISSION_DENIED
`OverloadedError`       RESOURCE_EXHAUSTED    QUEUE_FULL: of the server; TOO_MANY_CALLS: of this caller
`UnavailableError`      UNAVAILABLE,          DRAINING; none where no server answers, or where one ended
                        CANCELLED             the call without an answer
`DeadlineExceededError` DEADLINE_EXCEEDED     DEADLINE_EXCEEDED; none where this side gave up
`InternalError`         INTERNAL, UNKNOWN,    INTERNAL; none where the answer breaks the contract
                        DATA_LOSS
======================= ===================== ======================================================
"""

from __future__ import annotations

from boxmask_core.errors import BoxmaskError


class ServerError(BoxmaskError):
    """A question was answered by an error.

    Attributes:
        code: Name of the gRPC code, for example ``INVALID_ARGUMENT``.
        reason: The server's own reason, for example ``INVALID_BOX``; empty where the error came from
            elsewhere (the network, a proxy, this machine).
        request_id: What the call is called in the server's log; empty where none was made.

    Args:
        code: As above.
        reason: As above.
        message: What was said.
    """

    def __init__(self, code: str, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.request_id = ""

    def __str__(self) -> str:
        marks = [self.code, self.reason, f"request {self.request_id}" if self.request_id else ""]
        return f"{self.args[0]} [{', '.join(mark for mark in marks if mark)}]"


class RejectedError(ServerError):
    """The question cannot be worked on; asking again does not help.

    Attributes:
        violations: ``(field, description)`` of each field at fault, as the server names them.

    Args:
        code: As in `ServerError`.
        reason: Likewise.
        message: What was said.
        violations: As above.
    """

    def __init__(
        self, code: str, reason: str, message: str, violations: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(code, reason, message)
        self.violations = violations


class NotFoundError(ServerError):
    """The server holds no such network, bundle or version."""

    exit_status = 2


class UnsupportedError(ServerError):
    """The server was installed, or started, without what the question needs."""

    exit_status = 2


class AuthenticationError(ServerError):
    """The server does not know who asks: there is no token, or one that it does not know."""

    exit_status = 2


class PermissionDeniedError(ServerError):
    """The server knows who asks, and does not let them."""

    exit_status = 2


class OverloadedError(ServerError):
    """Too much is asked at once.

    Attributes:
        retry_after: Seconds after which the server suggests to ask again; None if it suggests none.

    Args:
        code: As in `ServerError`.
        reason: ``QUEUE_FULL`` where the server has too much to do, ``TOO_MANY_CALLS`` where this caller asks
            for more at once than is allowed.
        message: What was said.
        retry_after: As above.
    """

    def __init__(self, code: str, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(code, reason, message)
        self.retry_after = retry_after


class UnavailableError(ServerError):
    """No server is there, or one that drains."""

    exit_status = 3


class DeadlineExceededError(ServerError):
    """The answer did not come in time."""


class InternalError(ServerError):
    """A fault of the server, or of what lies between."""
