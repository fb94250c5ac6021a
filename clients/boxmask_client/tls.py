"""Whom a client trusts, and how it shows who it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import grpc


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS, one-sided or mutual. Files are read when the client is made.

    Attributes:
        ca: PEM certificates to trust, or their file; None for those that gRPC ships.
        cert: The client's own PEM certificate chain, or its file, for a server that asks for it.
        key: The private key of ``cert``, or its file.
        server_name: The name that the server's certificate bears, where it is not the one in the address.

    Raises:
        ValueError: A certificate without its key, or the other way round.
    """

    ca: Path | bytes | None = None
    cert: Path | bytes | None = None
    key: Path | bytes | None = field(default=None, repr=False)
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            lacking = "key" if self.key is None else "cert"
            raise ValueError(f"a client's certificate and its key go together, but {lacking} is missing")

    def credentials(self) -> grpc.ChannelCredentials:
        """Returns gRPC's credentials.

        Raises:
            OSError: A file cannot be read.
        """
        return grpc.ssl_channel_credentials(_read(self.ca), _read(self.key), _read(self.cert))


def _read(pem: Path | bytes | None) -> bytes | None:
    return pem.read_bytes() if isinstance(pem, Path) else pem
