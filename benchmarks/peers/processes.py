"""The servers as processes: started, awaited, stopped with all their children."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc

from boxmask.inference import open_inference_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchmarks.peers.network import Served

ROOT: Final = Path(__file__).resolve().parents[2]
MODEL_READY: Final = "/inference.GRPCInferenceService/ModelReady"
LONGEST_START: Final = 120.0
LONGEST_STOP: Final = 20.0
MESSAGE_BYTES: Final = 64 << 20


class UnavailableError(Exception):
    """A peer cannot be run here.

    Args:
        reason: Why, on one line.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Launch:
    """What a server is started with.

    Attributes:
        port: Where it speaks gRPC; the two ports after it are free too.
        bundle: The bundle whose networks are served.
        served: The networks.
        threads: Threads of one run.
        venvs: Holds an environment for every peer.
        folder: Where it may write.
        delay: Seconds that a batcher waits for more requests, in peers that have one.
        spinning: Whether the peers' threads spin while they wait, as is ONNX Runtime's default.
    """

    port: int
    bundle: Path
    served: tuple[Served, ...]
    threads: int
    venvs: Path
    folder: Path
    delay: float = 0.001
    spinning: bool = True

    @property
    def address(self) -> str:
        """Where the server listens."""
        return f"127.0.0.1:{self.port}"

    def python(self, peer: str) -> Path:
        """Returns the interpreter of a peer's environment.

        Raises:
            UnavailableError: There is no such environment.
        """
        python = self.venvs / peer / "bin" / "python"
        if not python.exists():
            raise UnavailableError(f"not installed: run benchmarks/peers/setup.sh {self.venvs}")
        return python


@contextlib.contextmanager
def running(peer: str, launch: Launch) -> Iterator[int]:
    """Runs a server while the block runs; yields its process.

    Raises:
        UnavailableError: It is not installed, or does not get ready.
    """
    command = COMMANDS[peer](launch)
    log = launch.folder / f"{peer}.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            cwd=launch.folder,
            env=_environment(peer, launch),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(server, launch, log)
        yield server.pid
    finally:
        _stop(server)


def free_port() -> int:
    """Returns a port that is free, as are the two after it."""
    while True:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                for after in (port + 1, port + 2):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", after))
            except OSError:
                continue
            return port


def _boxmask(launch: Launch) -> list[str]:
    boxmask = Path(sys.executable).with_name("boxmask")
    options = ["--listen", launch.address, "--device", "cpu", "--threads", str(launch.threads)]
    return [str(boxmask), "serve", str(launch.bundle.resolve()), *options]


def _mlserver(launch: Launch) -> list[str]:
    settings = {
        "host": "127.0.0.1",
        "grpc_port": launch.port,
        "http_port": launch.port + 1,
        "metrics_port": launch.port + 2,
        "grpc_max_message_length": MESSAGE_BYTES,
    }
    (launch.folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    for served in launch.served:
        model: dict[str, object] = {
            "name": served.name,
            "implementation": "benchmarks.peers.mlserver_model.OnnxModel",
            "parameters": {"uri": served.file, "threads": launch.threads, "spinning": launch.spinning},
        }
        if served.batch > 1:
            model |= {"max_batch_size": served.batch, "max_batch_time": launch.delay}
        folder = launch.folder / served.name
        folder.mkdir(exist_ok=True)
        (folder / "model-settings.json").write_text(json.dumps(model), encoding="utf-8")
    return [str(launch.python("mlserver").with_name("mlserver")), "start", str(launch.folder)]


def _script(peer: str) -> Callable[[Launch], list[str]]:
    def command(launch: Launch) -> list[str]:
        networks = [
            word for each in launch.served for word in ("--network", each.name, each.file, str(each.batch))
        ]
        options = ["--port", str(launch.port), "--threads", str(launch.threads), "--delay", str(launch.delay)]
        if not launch.spinning:
            options.append("--no-spinning")
        return [str(launch.python(peer)), "-m", f"benchmarks.peers.{peer}_server", *options, *networks]

    return command


COMMANDS: Final[Mapping[str, Callable[[Launch], list[str]]]] = {
    "boxmask": _boxmask,
    "mlserver": _mlserver,
    "kserve": _script("kserve"),
    "pytriton": _script("pytriton"),
}


def _environment(peer: str, launch: Launch) -> dict[str, str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    if peer == "pytriton":
        # Triton's Python stub loads libpython by name. Another copy of it, of the system, would not fit.
        question = [
            str(launch.python(peer)),
            "-c",
            "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))",
        ]
        environment["LD_LIBRARY_PATH"] = subprocess.check_output(question, text=True).strip()
    return environment


def _wait_until_ready(server: subprocess.Popen[bytes], launch: Launch, log: Path) -> None:
    until = time.monotonic() + LONGEST_START
    with grpc.insecure_channel(launch.address) as channel:
        while not all(_is_ready(channel, served.name) for served in launch.served):
            if server.poll() is not None:
                raise UnavailableError(f"ended with {server.returncode}: {_last_line(log)}")
            if time.monotonic() > until:
                raise UnavailableError(f"not ready after {LONGEST_START:g} s: {_last_line(log)}")
            time.sleep(0.2)


def _is_ready(channel: grpc.Channel, network: str) -> bool:
    ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(MODEL_READY)
    try:
        answer = ask(pb.ModelReadyRequest(name=network).SerializeToString(), timeout=5)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            raise UnavailableError("it does not speak the Open Inference Protocol") from error
        return False
    return bool(pb.ModelReadyResponse.FromString(answer).ready)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Ends a server; what is left of its process group after a while is killed."""
    server.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(LONGEST_STOP)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
