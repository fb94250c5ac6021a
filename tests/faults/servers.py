"""Server processes that are to survive, and what they hold."""

from __future__ import annotations

import contextlib
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from boxmask.v1 import labeling_pb2_grpc as pb_grpc
from tests.e2e.processes import BOXMASK, ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHANNEL = (
    # A connection of its own for every channel, and no second try: what fails is seen to fail.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", -1),
)


@dataclass(frozen=True)
class Held:
    """What a process holds.

    Attributes:
        memory: Resident MiB.
        threads: Threads.
        descriptors: Open file descriptors.
    """

    memory: int
    threads: int
    descriptors: int


@dataclass(frozen=True)
class Server:
    """A server process.

    Attributes:
        process: The process.
        address: Where it listens.
        log: Where its standard error goes.
    """

    process: subprocess.Popen[str]
    address: str
    log: Path

    def held(self) -> Held:
        """Returns what it holds now."""
        folder = Path(f"/proc/{self.process.pid}")
        lines = (line.split() for line in (folder / "status").read_text(encoding="ascii").splitlines())
        status = {words[0]: words[1] for words in lines if len(words) > 1}
        return Held(
            int(status["VmRSS:"]) // 1024, int(status["Threads:"]), len(list((folder / "fd").iterdir()))
        )

    def peak(self) -> int:
        """Returns the most memory that it ever held, MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) // 1024

    @contextlib.contextmanager
    def stub(self) -> Iterator[pb_grpc.LabelingServiceStub]:
        """Yields a stub on a connection of its own."""
        with grpc.insecure_channel(self.address, options=CHANNEL) as channel:
            yield pb_grpc.LabelingServiceStub(channel)

    def assert_well(self, before: Held, *, memory: int = 150) -> None:
        """Checks that it lives, is healthy, and holds about what it held before.

        Args:
            before: What it held.
            memory: MiB that it may hold beyond that: buffers and arenas that were not needed until then.
        """
        assert self.process.poll() is None
        with grpc.insecure_channel(self.address, options=CHANNEL) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]  # not in its stubs
            assert (
                check(health_pb2.HealthCheckRequest(), timeout=10).status
                == health_pb2.HealthCheckResponse.SERVING
            )
        until(lambda: self.held().descriptors <= before.descriptors + 8)
        until(lambda: self.held().threads <= before.threads + 8)
        after = self.held()
        assert after.memory <= before.memory + memory, f"{before} became {after}"


@contextlib.contextmanager
def serving(
    bundle: Path, folder: Path, *options: str, listen: str = "127.0.0.1:0", log: Path | None = None
) -> Iterator[Server]:
    """Runs ``boxmask serve`` while the block runs, and expects it to drain afterwards.

    Args:
        bundle: Its bundle.
        folder: Where its log goes.
        options: More arguments.
        listen: Where it listens.
        log: Where its log goes instead.
    """
    log = log or folder / "server.log"
    command: list[str | Path] = [BOXMASK, "serve", bundle, "--listen", listen, "--workers", "2", *options]
    with (
        log.open("a", encoding="utf-8") as err,
        subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=err, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on "), (
                log.read_text(encoding="utf-8") if log.is_file() else line
            )
            yield Server(process, line.split()[2], log)
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Waits until something is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
