"""What both clients are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import grpc

from boxmask_client.connection import LARGEST_MESSAGE_BYTES, MAX_MESSAGE_BYTES, Connection, new_request_id
from boxmask_client.keep_alive import KeepAlive
from boxmask_client.ledger import Ledger
from boxmask_client.retry import Retry
from boxmask_client.targets import split

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from boxmask_client.exchange import Answered, Asked, Exchange, Item, Reply
    from boxmask_client.tls import Tls

Carrier = TypeVar("Carrier")


class BaseClient(Generic[Carrier]):
    """A connection to one boxmask server, or to several that are alike.

    Of several servers, the one whose turn it is among those that are ready is asked; one that drains or is
    gone is passed over until it is back, and what it had not answered is asked again elsewhere. Every
    question carries a name, ``request_id``, which stands in the server's log, and in the error if it comes to
    one.

    Args:
        target: ``host:port``, ``unix:/path``, or several of them with commas between or as a sequence; or
            ``dns:///name:port``, the name of several servers, whose addresses are looked up again when one is
            gone.
        timeout: Seconds for one call with all its attempts, where the call does not say otherwise.
        retry: How often, and how patiently, a question is asked again.
        keep_alive: How a connection that is dead is noticed.
        max_message_bytes: Largest message sent or taken, bytes.
        tls: Whom to trust, and how to show who asks; None for plain text.
        credentials: Of a TLS channel, made by gRPC's own functions, instead of ``tls``.
        token: What the server knows this client by, or a function that gives it, quickly, for every call
            anew. Without TLS it travels in plain text: whoever can read the network's traffic can read it.
            Over a Unix socket or the machine's own loopback that may do; elsewhere use it with ``tls`` only.
        compression: Of the messages. Off by default: images are compressed already.
        transport: The way to the servers, if not gRPC to ``target``.

    Raises:
        ValueError: An address is malformed, a limit is out of its range, or ``tls`` and ``credentials`` are
            both given.
        OSError: A file of ``tls`` cannot be read.
    """

    def __init__(
        self,
        target: str | Sequence[str],
        *,
        timeout: float = 60.0,
        retry: Retry | None = None,
        keep_alive: KeepAlive | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        tls: Tls | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        token: str | Callable[[], str] | None = None,
        compression: grpc.Compression = grpc.Compression.NoCompression,
        transport: Carrier | None = None,
    ) -> None:
        if tls is not None and credentials is not None:
            raise ValueError("expected tls or credentials, but got both; leave one of them out")
        if not 1 <= max_message_bytes <= LARGEST_MESSAGE_BYTES:
            raise ValueError(
                f"expected max_message_bytes from 1 to {LARGEST_MESSAGE_BYTES}, but got {max_message_bytes}"
            )
        self._timeout = timeout
        self._connection = Connection(
            targets=split(target),
            retry=retry or Retry(),
            keep_alive=keep_alive or KeepAlive(),
            max_message_bytes=max_message_bytes,
            credentials=credentials if tls is None else tls.credentials(),
            server_name=None if tls is None else tls.server_name,
            token=token,
            compression=compression,
        )
        self._transport = self._open() if transport is None else transport

    def _open(self) -> Carrier:
        raise NotImplementedError

    def _books(
        self,
        exchange: Exchange[Asked, Answered, Item, Reply],
        window: int,
        request_id: str,
    ) -> Ledger[Any, Asked, Answered, Item, Reply]:
        """Returns the empty books of a stream.

        Raises:
            ValueError: The window is below 1.
        """
        if window < 1:
            raise ValueError(f"expected a window of at least 1, but got {window}")
        return Ledger(
            exchange,
            lanes=len(self._connection.targets),
            window=window,
            max_message_bytes=self._connection.max_message_bytes,
            retry=self._connection.retry,
            request_id=request_id,
        )

    def _seconds(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else timeout


def name_of(request_id: str | None) -> str:
    """Returns the caller's name of a call, or a new one.

    Raises:
        ValueError: The name cannot travel.
    """
    if request_id is None:
        return new_request_id()
    if not request_id or not request_id.isascii() or not request_id.isprintable():
        raise ValueError(f"expected a request_id of printable ASCII characters, but got {request_id!r}")
    return request_id
