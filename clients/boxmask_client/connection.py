"""What gRPC is told of the servers, and of how to speak to them; alike for both clients."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

import grpc

from boxmask_client.keep_alive import KeepAlive
from boxmask_client.retry import Retry
from boxmask_client.rpcs import LABELING, SINGLE
from boxmask_client.statuses import REQUEST_ID
from boxmask_client.targets import has_many

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_MESSAGE_BYTES: Final = 68 * 1024 * 1024
"""Largest message sent or taken, bytes: a server's own limit, 64 MiB of image and 4 MiB beside it."""
LARGEST_MESSAGE_BYTES: Final = 2**31 - 2**20
"""What protobuf and gRPC can count, and a little less."""
RETRY_SLACK: Final = 64 * 1024
"""Bytes that gRPC keeps of a call to ask it again, beside the message."""
CONNECT_MS: Final = 5000
"""Longest that one attempt to connect may take, handshakes included."""
FIRST_RECONNECT_MS: Final = 100
"""A server that is just starting is found within a tenth of a second, not within gRPC's own one."""
LAST_RECONNECT_MS: Final = 500
"""A server that was away for long is found this soon after its return: sooner than the attempts at a call
end, so that the other may restart as soon as this one answers."""


@dataclass(frozen=True)
class Connection:
    """Where the servers are, and how they are spoken to.

    Attributes:
        targets: One address, or several.
        retry: How often a question is asked again.
        keep_alive: How a dead connection is noticed.
        max_message_bytes: Largest message sent or taken.
        credentials: Of TLS channels; None for plain ones.
        server_name: The name that the servers' certificates bear, if not that of their address.
        token: What is shown as the bearer token, or what gives it, for each call anew.
        compression: Of the messages.
    """

    targets: tuple[str, ...]
    retry: Retry = field(default_factory=Retry)
    keep_alive: KeepAlive = field(default_factory=KeepAlive)
    max_message_bytes: int = MAX_MESSAGE_BYTES
    credentials: grpc.ChannelCredentials | None = None
    server_name: str | None = None
    token: str | Callable[[], str] | None = field(default=None, repr=False)
    compression: grpc.Compression = grpc.Compression.NoCompression

    @property
    def balances(self) -> bool:
        """Whether the client itself chooses among addresses; gRPC does among those of one name."""
        return len(self.targets) > 1

    def options(self, target: str, *, watched: bool = False) -> list[tuple[str, Any]]:
        """Returns the options of a channel.

        Args:
            target: Where it leads.
            watched: Whether the client follows the server's health itself.
        """
        options: list[tuple[str, Any]] = [
            ("grpc.primary_user_agent", f"boxmask-client/{_version()}"),
            ("grpc.max_send_message_length", self.max_message_bytes),
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.service_config", json.dumps(self.service_config(target, watched=watched))),
            # gRPC asks again only what it has kept; by default, nothing above 256 KiB, which most images are.
            ("grpc.per_rpc_retry_buffer_size", self.max_message_bytes + RETRY_SLACK),
            ("grpc.initial_reconnect_backoff_ms", FIRST_RECONNECT_MS),
            ("grpc.min_reconnect_backoff_ms", CONNECT_MS),
            ("grpc.max_reconnect_backoff_ms", LAST_RECONNECT_MS),
            *self.keep_alive.options(),
        ]
        if self.server_name is not None:
            options.append(("grpc.ssl_target_name_override", self.server_name))
        if self.balances:
            # A channel that has gone to sleep would look like a server that is gone.
            options.append(("grpc.client_idle_timeout_ms", 2**31 - 1))
        return options

    def service_config(self, target: str, *, watched: bool = False) -> dict[str, Any]:
        """Returns gRPC's service config of a channel; the arguments are those of `options`.

        One server is asked again by gRPC itself. Where the client chooses among several, the next is asked
        rather than the same again, and that is `attempts.Attempts`' to do. Streams are resumed, see `ledger`.
        """
        config: dict[str, Any] = {}
        if has_many(target) or (self.balances and not watched):
            # A server that drains says so to its health checks, and gets no new calls. One that is alone
            # would only say it less well.
            config["loadBalancingConfig"] = [{"round_robin": {}}]
            config["healthCheckConfig"] = {"serviceName": LABELING}
        if self.retry.attempts > 1 and not self.balances:
            config["methodConfig"] = [
                {
                    "name": [{"service": LABELING, "method": name} for name in SINGLE],
                    "retryPolicy": {
                        "maxAttempts": self.retry.attempts,
                        "initialBackoff": f"{self.retry.initial:.3f}s",
                        "maxBackoff": f"{self.retry.maximum:.3f}s",
                        "backoffMultiplier": self.retry.multiplier,
                        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
                    },
                }
            ]
            # Where most of what is asked fails, asking again makes it worse. The bucket is large: all calls
            # that are on their way when a server restarts fail at once, and are to be asked again.
            config["retryThrottling"] = {"maxTokens": 500, "tokenRatio": 0.5}
        return config

    def metadata(self, request_id: str) -> tuple[tuple[str, str], ...]:
        """Returns what is sent beside a question.

        Args:
            request_id: What the call is called in the server's log.

        Raises:
            ValueError: The token cannot travel.
        """
        named = ((REQUEST_ID, request_id),)
        if self.token is None:
            return named
        token = self.token if isinstance(self.token, str) else self.token()
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ValueError("expected a token of visible ASCII characters; its value is not shown here")
        return (*named, ("authorization", f"Bearer {token}"))


def new_request_id() -> str:
    """Returns a name for a call that no other has."""
    return uuid.uuid4().hex


def _version() -> str:
    try:
        return version("boxmask")
    except PackageNotFoundError:  # the folder may be copied, without the distribution
        return "unknown"
