"""What can go wrong, and what to do about it.

Usage: ``python clients/examples/errors.py IMAGE [SERVER]``
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from boxmask_client import Answer, Client, DeadlineExceededError, OverloadedError, RejectedError
from boxmask_core.boxes import Box
from boxmask_core.instances import Instance


def patiently(client: Client, image: Path, instances: list[Instance], tries: int = 5) -> Answer:
    """Asks again while the server is too busy. What is unavailable for a moment is retried by gRPC itself."""
    for _ in range(tries - 1):
        try:
            return client.pseudo_label(image, instances, timeout=30)
        except OverloadedError as error:
            time.sleep(error.retry_after or 1.0)
        except DeadlineExceededError:
            continue
    return client.pseudo_label(image, instances, timeout=120)


def main(image: str, server: str = "localhost:8500") -> None:
    """Asks about a box that lies outside any image, and tells which field the server rejects."""
    with Client(server) as client:
        try:
            patiently(client, Path(image), [Instance(Box(1e6, 1e6, 2e6, 2e6), "cat", id="far away")])
        except RejectedError as error:
            sys.stdout.write(f"{error.reason}\n")
            for field, problem in error.violations:
                sys.stdout.write(f"  {field}: {problem}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
