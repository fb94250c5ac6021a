"""Where servers are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def split(targets: str | Sequence[str]) -> tuple[str, ...]:
    """Returns the addresses, each once.

    Args:
        targets: ``host:port``, ``unix:/path`` or ``dns:///name:port``, several with commas between or as a
            sequence.

    Raises:
        ValueError: There is none, or one that is no address.
    """
    parts = targets.split(",") if isinstance(targets, str) else targets
    addresses = tuple(dict.fromkeys(part.strip() for part in parts))
    if not addresses:
        raise ValueError("expected the address of at least one server, but got none")
    for address in addresses:
        if ":" not in address or address.startswith(("/", ":")):
            raise ValueError(f"expected host:port, unix:/path or dns:///name:port, but got {address!r}")
    return addresses


def has_many(target: str) -> bool:
    """Returns whether a target may stand for several servers."""
    return target.startswith("dns:")
