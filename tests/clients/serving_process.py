"""A server in a process of its own, which may be started again at the address that it had."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DRAIN_SECONDS = 60
"""More than any server here may take to end."""
BOXMASK = Path(sys.executable).with_name("boxmask")


class ServingProcess:
    """``boxmask serve``, and its log.

    Args:
        bundle: What it serves.
        folder: Where its log is, and its socket, if it is not told to listen elsewhere.
        options: What else it is told.
        listen: Where it listens; port 0 for a free one.

    Attributes:
        address: Where it listens, once it is started.
    """

    def __init__(self, bundle: Path, folder: Path, *options: str, listen: str = "") -> None:
        self.address = listen or f"unix:{folder}/socket"
        self._options = options
        self._bundle = bundle
        self._log = folder / "log"

    def start(self) -> None:
        """Returns when it listens."""
        with self._log.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [BOXMASK, "serve", self._bundle, "--listen", self.address, "--workers", "1", *self._options],
                env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        told, _, self.address = self._process.stdout.readline().rstrip().rpartition(" ")
        assert told == "listening on", self._log.read_text()

    def stop(self) -> None:
        """Asks it to drain, and waits until it is gone."""
        self._process.terminate()
        try:
            self._process.communicate(timeout=DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGABRT)  # faulthandler writes what every thread does
            self._process.communicate()
        assert self._process.returncode == 0, self._log.read_text()


@contextmanager
def serving_process(bundle: Path, folder: Path, *options: str, listen: str = "") -> Iterator[str]:
    """Serves while the block runs, and gives the address."""
    server = ServingProcess(bundle, folder, *options, listen=listen)
    server.start()
    try:
        yield server.address
    finally:
        server.stop()
