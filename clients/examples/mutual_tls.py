"""A server that asks for the client's certificate.

Usage: ``python clients/examples/mutual_tls.py CA_FILE CERT_FILE KEY_FILE [SERVER]``
"""

from __future__ import annotations

import sys
from pathlib import Path

from boxmask_client import Client, Tls


def main(ca: str, cert: str, key: str, server: str = "localhost:8500") -> None:
    """Shows the certificate, and asks."""
    with Client(server, tls=Tls(ca=Path(ca), cert=Path(cert), key=Path(key))) as client:
        sys.stdout.write(f"let in: {len(client.models())} networks\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
