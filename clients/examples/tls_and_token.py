"""A server that shows a certificate, and asks for a token.

The token is read from its file for every call, so that it may be renewed there. Without TLS it would travel
in plain text.

Usage: ``python clients/examples/tls_and_token.py CA_FILE TOKEN_FILE [SERVER]``
"""

from __future__ import annotations

import sys
from pathlib import Path

from boxmask_client import AuthenticationError, Client, Tls


def main(ca: str, token_file: str, server: str = "localhost:8500") -> None:
    """Asks with the token, and without."""
    tls = Tls(ca=Path(ca))
    with Client(server, tls=tls, token=lambda: Path(token_file).read_text("utf-8").strip()) as client:
        sys.stdout.write(f"let in: {len(client.models())} networks\n")
    with Client(server, tls=tls) as stranger:
        try:
            stranger.models()
        except AuthenticationError as error:
            sys.stdout.write(f"turned away: {error.reason}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
