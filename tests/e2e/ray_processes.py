"""A Ray cluster on this machine for the tests, and a look at the processes that Ray starts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKER = "ray::MapWorker(Map(RayWorker))"
"""How Ray names the process of one of our workers."""
ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": uuid.uuid4().hex,
}
"""Of our cluster and of the commands that use it: it listens on the loopback alone, and knows nobody else."""
_CLUSTER = """
import sys
import ray
context = ray.init(
    "local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20
)
print(context.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Cluster:
    """A cluster with two CPUs that outlives the commands that use it."""

    address: str
    process: int


@contextmanager
def ray_cluster_of_two() -> Iterator[Cluster]:
    """Runs a cluster while the block runs."""
    with subprocess.Popen(
        [sys.executable, "-c", _CLUSTER],
        env=os.environ | ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            if not address:
                raise AssertionError(f"Ray did not start: {process.communicate()[1]}")
            yield Cluster(address, process.pid)
        finally:
            process.communicate(timeout=30)


def descendants(process: int) -> dict[int, str]:
    """Returns the command lines of all processes that a process has started, and those have, by their ids."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            names[int(folder.name)] = (folder / "cmdline").read_bytes().rstrip(b"\0").decode(errors="replace")
        except OSError:
            continue  # it is gone
    found: dict[int, str] = {}
    new = {process}
    while new:
        new = {child for child, parent in parents.items() if parent in new and child not in found}
        found |= {child: names[child] for child in new}
    return found


def workers(process: int) -> list[int]:
    """Returns the ids of our workers below a process."""
    return sorted(child for child, name in descendants(process).items() if name.startswith(WORKER))


def listening(process: int) -> set[str]:
    """Returns the addresses at which a process and its descendants listen, as Linux writes them."""
    sockets = set()
    for child in {process, *descendants(process)}:
        try:
            links = [os.readlink(link) for link in Path(f"/proc/{child}/fd").iterdir()]  # noqa: PTH115 - no file
        except OSError:
            continue  # it is gone
        sockets |= {link[8:-1] for link in links if link.startswith("socket:[")}
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                found.add(fields[1].partition(":")[0])
    return found


def wait_for_lines(journal: Path, process: subprocess.Popen[str], count: int) -> None:
    """Waits until a running command has journalled some answers."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"no {count} answers in time, exit status {process.poll()}")
