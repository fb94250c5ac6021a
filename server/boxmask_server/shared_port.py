"""One TCP port for several server processes: the kernel spreads connections over them (SO_REUSEPORT).

What the kernel does not do is keep others out. Whoever starts the processes holds the port, without
listening, while they come and go: it is theirs even when none of them lives, and a second server fails.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

from boxmask_core.errors import ListenError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Address = tuple[socket.AddressFamily, tuple[Any, ...]]


@contextlib.contextmanager
def held_port(listen: str) -> Iterator[str]:
    """Holds a port while the block runs; yields the address, with the port that was really taken.

    Args:
        listen: ``HOST:PORT``; port 0 takes any free one.

    Raises:
        ListenError: The address is malformed, taken, or not this machine's.
    """
    host, _, port = listen.rpartition(":")
    with contextlib.ExitStack() as stack:
        try:
            number = int(port)
            for family, address in _addresses(host, number):
                # Of several addresses of one name, all get the port that the first was given.
                holder = _hold(family, (address[0], number, *address[2:]))
                number = stack.enter_context(holder).getsockname()[1]
        except (OSError, ValueError, OverflowError) as error:
            problem = f"{error}; is it taken? Several processes listen at one HOST:PORT"
            raise ListenError(listen, problem) from error
        yield f"{host}:{number}"


def _addresses(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(
        host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return [(family, address) for family, _, _, _, address in found]


def _hold(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    with socket.socket(family, socket.SOCK_STREAM) as alone:
        # Old connections that linger do not count, but whoever listens or holds does.
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind(address)
        alone.listen(1)
        address = (address[0], alone.getsockname()[1], *address[2:])
    holder = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            holder.setsockopt(socket.SOL_SOCKET, option, 1)
        holder.bind(address)
        holder.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 0
        )  # from now on, nobody is let in beside it
    except OSError:
        holder.close()
        raise
    return holder
