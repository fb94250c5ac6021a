from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from boxmask_core.errors import ListenError
from boxmask_server.shared_port import held_port
from boxmask_server.supervise import Place, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
SUPERVISOR = """
import logging, sys
from boxmask_server.supervise import Patience, run
logging.basicConfig(level=logging.INFO, format="%(message)s")
listen, processes, grace, folder = sys.argv[1:]
child = [sys.executable, "-m", "tests.server.toy_server", folder]
patience = Patience(crashes=2, pause=0.05)
status = run(child, listen=listen, processes=int(processes), grace=float(grace), patience=patience)
heavy = {"grpc", "onnxruntime", "numpy", "cv2"} & set(sys.modules)
sys.exit(f"the parent loaded {heavy}" if heavy else status)
"""


@dataclass(frozen=True)
class Supervised:
    """Toy servers under a supervisor.

    Attributes:
        parent: The supervisor.
        address: Where the servers listen.
        told: What the supervisor printed before its address.
    """

    parent: subprocess.Popen[str]
    address: str
    told: list[str]

    def whoever_answers(self) -> int:
        """Returns the pid of a server that takes a connection."""
        host, _, port = self.address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            return int(connection.recv(100))

    def children(self) -> set[int]:
        """Returns the pids of all that take connections just now."""
        found: set[int] = set()
        for _ in range(40):
            with contextlib.suppress(OSError, ValueError):  # one of them is just going
                found.add(self.whoever_answers())
        return found


def test_connections_are_spread_over_the_processes_of_one_port(tmp_path: Path) -> None:
    with supervised(tmp_path, 2) as servers:
        assert len(servers.children()) == 2
        assert sorted(servers.told) == ["metrics at 0.0.0.0:9100", "metrics at 0.0.0.0:9101"]


def test_a_process_that_is_killed_is_replaced_and_the_other_serves_on(tmp_path: Path) -> None:
    with supervised(tmp_path, 2) as servers:
        first, second = servers.children()
        os.kill(first, signal.SIGKILL)
        until(lambda: not alive(first))
        assert servers.whoever_answers() != first
        until(lambda: len(servers.children()) == 2)
        assert second in servers.children()
        assert "was killed by SIGKILL; starting it again" in ended(servers, signal.SIGTERM, 0)


def test_a_process_that_is_told_to_stop_is_replaced_however_often(tmp_path: Path) -> None:
    with supervised(tmp_path, 1) as servers:
        for _ in range(4):
            (pid,) = servers.children()
            os.kill(pid, signal.SIGTERM)
            until(lambda pid=pid: servers.children() - {pid} != set())  # type: ignore[misc]  # of this round
        ended(servers, signal.SIGTERM, 0)


def test_a_process_that_goes_on_crashing_ends_all(tmp_path: Path) -> None:
    with supervised(tmp_path, 2) as servers:
        stable, broken = servers.children()
        (tmp_path / "broken").touch()
        os.kill(broken, signal.SIGKILL)
        assert servers.parent.wait(20) == 1
        assert servers.parent.stderr is not None
        said = servers.parent.stderr.read()
        assert "ended with status 7 and has crashed 3 times in 60 s; ending all" in said
        assert said.count("it is broken") == 2
        assert not alive(stable)


def test_where_a_process_does_not_even_start_its_status_is_ours(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    process = start(tmp_path, "127.0.0.1:0", 2, 1)
    out, said = process.communicate(timeout=20)
    assert (process.returncode, out) == (7, "")
    assert "it is broken" in said
    assert "ended with status 7 before all were ready" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_all(tmp_path: Path, number: signal.Signals) -> None:
    with supervised(tmp_path, 2) as servers:
        children = servers.children()
        assert "draining 2 processes" in ended(servers, number, 0)
        assert not any(alive(pid) for pid in children)


def test_a_hangup_is_passed_on(tmp_path: Path) -> None:
    with supervised(tmp_path, 2) as servers:
        servers.parent.send_signal(signal.SIGHUP)
        notes = tmp_path / "hangups"
        until(lambda: notes.exists() and len(notes.read_text().split()) == 2)
        assert {int(pid) for pid in notes.read_text().split()} == servers.children()


def test_no_process_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    with supervised(tmp_path, 2) as servers:
        children = servers.children()
        servers.parent.kill()
        until(lambda: not any(alive(pid) for pid in children))


def test_a_process_that_does_not_drain_is_killed_and_told_of(tmp_path: Path) -> None:
    (tmp_path / "stubborn").touch()
    with supervised(tmp_path, 1, grace=-9) as servers:
        assert "was killed by SIGKILL instead of draining" in ended(servers, signal.SIGTERM, 1)


def test_a_second_supervisor_on_the_port_fails(tmp_path: Path) -> None:
    with supervised(tmp_path, 1) as servers, pytest.raises(ListenError, match="is it taken"):
        run(["true"], listen=servers.address, processes=1, grace=1)


def test_the_port_stays_held_while_no_process_listens() -> None:
    with held_port("127.0.0.1:0") as address:
        with pytest.raises(ListenError), held_port(address):
            pass
        host, _, port = address.rpartition(":")
        with pytest.raises(OSError, match="in use"):
            socket.create_server((host, int(port)))
    with held_port(address):
        pass


def test_a_port_that_somebody_listens_on_is_not_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ListenError):
        run(["true"], listen=f"127.0.0.1:{other.getsockname()[1]}", processes=2, grace=1)


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.1:99999", "no.such.host.invalid:1", "127.0.0.1:x"])
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    with pytest.raises(ListenError):
        run(["true"], listen=listen, processes=2, grace=1)


def test_several_processes_cannot_share_a_unix_socket(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match="cannot share a Unix socket"):
        run(["true"], listen=f"unix:{tmp_path}/socket", processes=2, grace=1)


def test_metrics_at_any_free_port_stay_at_any_free_port() -> None:
    assert Place(3, "").metrics("127.0.0.1:0") == "127.0.0.1:0"
    assert Place(3, "").metrics("[::1]:9100") == "[::1]:9103"


@contextlib.contextmanager
def supervised(folder: Path, processes: int, grace: float = 5) -> Iterator[Supervised]:
    with start(folder, "127.0.0.1:0", processes, grace) as parent:
        try:
            assert parent.stdout is not None
            told = []
            while not (line := parent.stdout.readline()).startswith("listening on "):
                assert line, "it ended before it was ready"
                told.append(line.strip())
            yield Supervised(parent, line.split()[2], told)
        finally:
            parent.kill()


def start(folder: Path, listen: str, processes: int, grace: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SUPERVISOR, listen, str(processes), str(grace), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def ended(servers: Supervised, number: signal.Signals, status: int) -> str:
    """Ends the supervisor; returns what it said."""
    servers.parent.send_signal(number)
    _, said = servers.parent.communicate(timeout=20)
    assert servers.parent.returncode == status
    return said


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
