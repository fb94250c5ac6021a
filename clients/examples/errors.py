"""What can go wrong, and what to do about it.

Usage: ``python clients/examples/errors.py IMAGE [SERVER]``
"""

from __future__ import annotations

import sys
from pathlib import Path

from boxmask_client import (
    AuthenticationError,
    Client,
    DeadlineExceededError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    RejectedError,
    ServerError,
    UnavailableError,
    UnsupportedError,
)
from boxmask_core.boxes import Box
from boxmask_core.instances import Instance


def remedy(error: ServerError) -> str:
    """Returns what to do; `boxmask_client.errors` has the whole table."""
    match error:
        case RejectedError():
            return "".join(f"\n  {field}: {problem}" for field, problem in error.violations)
        case NotFoundError() | UnsupportedError():
            return "ask another server, or for another network"
        case AuthenticationError() | PermissionDeniedError():
            return "show the right token"
        case OverloadedError():
            return f"ask again in {error.retry_after} s, as Retry(when_full=3) would"
        case UnavailableError() | DeadlineExceededError():
            return "ask again later"
        case _:
            return f"look for {error.request_id} in the server's log"


def main(image: str, server: str = "localhost:8500") -> None:
    """Asks about a box that lies outside any image, and for a network that there is not."""
    with Client(server) as client:
        try:
            client.pseudo_label(Path(image), [Instance(Box(1e6, 1e6, 2e6, 2e6), "cat", id="far away")])
        except ServerError as error:
            sys.stdout.write(f"{error.reason}: {remedy(error)}\n")
        try:
            client.model("sam")
        except ServerError as error:
            sys.stdout.write(f"{error.reason}: {remedy(error)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
