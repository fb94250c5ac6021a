"""How a connection that lies idle, or is dead, is noticed."""

from __future__ import annotations

from dataclasses import dataclass

LEAST_TIME = 10.0
"""Seconds between pings that a server takes: it closes the connection on a client that pings more often."""


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """HTTP/2 pings, which tell a server that works for long from one that is gone.

    Attributes:
        time: Seconds of silence before a ping, at least 10.
        timeout: Seconds that its answer may take; then the connection is given up, and its calls fail.
        without_calls: Whether to ping also while nothing is asked: what lies between, a NAT or a proxy, may
            otherwise forget a connection that is idle.

    Raises:
        ValueError: One of them is out of its range.
    """

    time: float = 30.0
    timeout: float = 10.0
    without_calls: bool = False

    def __post_init__(self) -> None:
        if self.time < LEAST_TIME:
            raise ValueError(
                f"expected a ping every {LEAST_TIME:g} seconds at most, but got {self.time:g}; the server "
                "would close the connection"
            )
        if self.timeout <= 0:
            raise ValueError(f"expected a timeout above 0, but got {self.timeout:g}")

    def options(self) -> list[tuple[str, int]]:
        """Returns gRPC's channel options."""
        return [
            ("grpc.keepalive_time_ms", round(self.time * 1000)),
            ("grpc.keepalive_timeout_ms", round(self.timeout * 1000)),
            ("grpc.keepalive_permit_without_calls", int(self.without_calls)),
            ("grpc.http2.max_pings_without_data", 0),
        ]
