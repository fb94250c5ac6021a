"""A server that has too much to do refuses; a patient client asks again after the pause that it names.

Usage: ``python clients/examples/when_full.py IMAGE [SERVER]``
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from boxmask_client import Client, OverloadedError, Retry


def main(image: str, server: str = "localhost:8500") -> None:
    """Asks sixteen times at once, and tells how many were answered."""
    encoded = Path(image).read_bytes()
    with Client(server, retry=Retry(when_full=10)) as client, ThreadPoolExecutor(16) as pool:

        def answered(_: int) -> bool:
            try:
                client.segment(encoded)
            except OverloadedError as error:  # refused eleven times
                sys.stdout.write(f"{error}\n")
                return False
            return True

        count = sum(pool.map(answered, range(16)))
    sys.stdout.write(f"{count} of 16 answered\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
