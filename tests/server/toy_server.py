"""A server that stands in for ``boxmask serve`` where only its life matters: quick to start and to break.

``python -m tests.server.toy_server FOLDER``: tells whoever connects its pid. Files in the folder change it:
``broken`` ends it before it listens, ``stubborn`` makes it deaf to SIGTERM; SIGHUP is noted in ``hangups``.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

from boxmask_server import supervise


def main(folder: Path) -> int:
    seat = supervise.place()
    assert seat is not None
    signal.signal(signal.SIGHUP, lambda *_: (folder / "hangups").open("a").write(f"{os.getpid()}\n"))
    if (folder / "stubborn").exists():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if (folder / "broken").exists():
        sys.stderr.write("it is broken\n")
        return 7
    host, _, port = seat.address.rpartition(":")
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind((host, int(port)))
        server.listen()
        sys.stdout.write(f"metrics at {seat.metrics('0.0.0.0:9100')}\nlistening on {seat.address}\n")
        sys.stdout.flush()
        while True:
            connection, _ = server.accept()
            with connection:
                connection.sendall(str(os.getpid()).encode())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
