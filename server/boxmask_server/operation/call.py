"""What is known of the call that is being answered: who asks, under which name it is found in the log."""

from __future__ import annotations

import secrets
import string
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

LONGEST_ID: Final = 128
PRINTABLE: Final = frozenset(string.ascii_letters + string.digits + string.punctuation)


@dataclass(slots=True)
class Call:
    """One call.

    Attributes:
        service: Full name of its service.
        method: Its method.
        request_id: What the caller calls it, or a name that was made up.
        caller: Name of the caller's token; empty where none is asked for.
        peer: Where it comes from, without the port.
        certificate: Common name of the caller's certificate; empty where it shows none.
        received: Messages received.
        received_bytes: Their bytes.
        sent: Messages sent.
        sent_bytes: Their bytes.
        code: Name of the gRPC code that it ended with.
        reason: Why it failed, as the caller is told; empty where it did not, or did without a reason of ours.
        trace_id: The trace that it is followed by; empty where it is not.
        began: Reading of `perf_counter` when it came.
    """

    service: str
    method: str
    request_id: str
    caller: str = ""
    peer: str = ""
    certificate: str = ""
    received: int = 0
    received_bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0
    code: str = "OK"
    reason: str = ""
    trace_id: str = ""
    began: float = field(default_factory=perf_counter)


CURRENT: ContextVar[Call | None] = ContextVar("boxmask_call", default=None)
"""The call that the running task belongs to."""


def request_id_of(given: str | bytes | None) -> str:
    """Returns the id that a caller gave, or a new one where it gave none that can stand in a log."""
    if isinstance(given, str) and 0 < len(given) <= LONGEST_ID and PRINTABLE.issuperset(given):
        return given
    return secrets.token_hex(8)


def host_of(peer: str) -> str:
    """Returns gRPC's name of a peer without its port: ports change with every connection."""
    kind, _, rest = peer.partition(":")
    return f"{kind}:{rest.rpartition(':')[0] or rest}" if kind in {"ipv4", "ipv6"} else peer
