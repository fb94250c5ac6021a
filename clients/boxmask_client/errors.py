"""The errors that a server, or the way to it, gives.

::

    BoxmaskError
    `-- ServerError
        |-- RejectedError            the question cannot be worked on; asking again does not help
        |-- NotFoundError            the server holds no such network
        |-- UnsupportedError         the server was installed without what the question needs
        |-- OverloadedError          the server's queue is full; ask again after `retry_after`
        |-- UnavailableError         no server there, or one that drains; ask again later, or another
        |-- DeadlineExceededError    the answer did not come in time
        `-- InternalError            a fault of the server, or of what lies between
"""

from __future__ import annotations

from boxmask_core.errors import BoxmaskError


class ServerError(BoxmaskError):
    """A question was answered by an error.

    Attributes:
        code: Name of the gRPC code, for example ``INVALID_ARGUMENT``.
        reason: The server's own reason, for example ``INVALID_BOX``; empty where the error came from
            elsewhere (the network, a proxy, this machine).

    Args:
        code: As above.
        reason: As above.
        message: What was said.
    """

    def __init__(self, code: str, reason: str, message: str) -> None:
        super().__init__(f"{message} [{code}{f', {reason}' if reason else ''}]")
        self.code = code
        self.reason = reason


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
    """The server holds no such network."""


class UnsupportedError(ServerError):
    """The server was installed without what the question needs."""


class OverloadedError(ServerError):
    """The server's queue is full.

    Attributes:
        retry_after: Seconds after which the server suggests to ask again; None if it suggests none.

    Args:
        code: As in `ServerError`.
        reason: Likewise.
        message: What was said.
        retry_after: As above.
    """

    def __init__(self, code: str, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(code, reason, message)
        self.retry_after = retry_after


class UnavailableError(ServerError):
    """No server is there, or one that drains."""


class DeadlineExceededError(ServerError):
    """The answer did not come in time."""


class InternalError(ServerError):
    """A fault of the server, or of what lies between."""
