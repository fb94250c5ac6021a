"""How a run that asks a server reaches it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from boxmask_client import Client, Retry, Tls

if TYPE_CHECKING:
    from pathlib import Path

TOKEN_VARIABLE: Final = "BOXMASK_TOKEN"
"""The environment's bearer token: a command line is everybody's to read."""
MAX_MESSAGE_BYTES: Final = 1 << 30
"""What is too large is the server's to say, image by image."""


@dataclass(frozen=True, slots=True)
class ServerAccess:
    """Where a server is, whom to trust, and who asks.

    Attributes:
        address: ``host:port`` or ``unix:/path``, or several with commas between.
        ca: PEM file of the certificates to trust; None speaks plain text.
        cert: PEM file of the certificate to show, if the server asks for one.
        key: Its private key.
        patience: Seconds that a server which is gone is waited for.
        token: The bearer token to send, if any.
    """

    address: str
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    patience: float = Retry().patience
    token: str | None = field(default_factory=lambda: os.environ.get(TOKEN_VARIABLE), repr=False)

    def client(self) -> Client:
        """Returns a client; close it.

        Raises:
            OSError: A certificate cannot be read.
            ValueError: The address is malformed.
        """
        tls = Tls(self.ca, self.cert, self.key) if self.ca is not None else None
        return Client(
            self.address,
            retry=Retry(patience=self.patience),
            max_message_bytes=MAX_MESSAGE_BYTES,
            tls=tls,
            token=self.token or None,
        )
