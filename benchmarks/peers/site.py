"""Where and how the servers are run."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers.processes import Launch, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.peers.workloads import Workload


@dataclass(frozen=True, slots=True)
class Site:
    """Where and how the servers are run.

    Attributes:
        bundle: The bundle whose networks are served.
        threads: Threads of one run of a network.
        venvs: Holds an environment for every peer.
        spinning: Whether the peers' threads spin while they wait, as is ONNX Runtime's default.
    """

    bundle: Path
    threads: int
    venvs: Path
    spinning: bool = True

    @contextmanager
    def serving(self, peer: str, workload: Workload, delay: float = 0.001) -> Iterator[str]:
        """Serves one network while the block runs; yields the address.

        Args:
            peer: The server.
            workload: What it will be asked.
            delay: Seconds that a batcher waits for more requests, in peers that have one.

        Raises:
            UnavailableError: It is not installed, or does not get ready.
        """
        with tempfile.TemporaryDirectory(prefix="peers-") as folder:
            served = (workload.served_by(peer),)
            launch = Launch(
                free_port(),
                self.bundle,
                served,
                self.threads,
                self.venvs,
                Path(folder),
                delay,
                self.spinning,
            )
            with running(peer, launch):
                yield launch.address
