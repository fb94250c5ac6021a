"""What else may be said of a connection: how a dead one is noticed, how large a message may be.

Usage: ``python clients/examples/connection.py IMAGE [SERVER]``
"""

from __future__ import annotations

import sys
from pathlib import Path

from boxmask_client import Client, KeepAlive, RejectedError, Retry


def main(image: str, server: str = "localhost:8500") -> None:
    """Asks over a connection that is pinged every 15 s, with messages as large as the server takes."""
    keep_alive = KeepAlive(time=15, timeout=5, without_calls=True)  # for a NAT that forgets idle connections
    with Client(server, keep_alive=keep_alive, retry=Retry(attempts=5, maximum=5)) as client:
        limit = client.models()[0].limits.max_message_bytes
    with Client(server, keep_alive=keep_alive, max_message_bytes=limit) as client:
        sys.stdout.write(f"messages of {limit} bytes: {client.segment(Path(image)).width} pixels wide\n")
    with Client(server, max_message_bytes=1000) as client:
        try:
            client.segment(Path(image))
        except RejectedError as error:
            sys.stdout.write(f"messages of 1000 bytes: {error}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
