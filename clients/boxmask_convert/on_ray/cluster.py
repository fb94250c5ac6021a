"""The Ray cluster of a conversion: reached or started, and how many workers it has room for."""

from __future__ import annotations

import logging
import os
import signal
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any, Final

from boxmask_core.bundle import CFS
from boxmask_core.errors import ClusterError, DeviceError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from boxmask_convert.settings import Settings

CPUS: Final = 2
"""CPUs of a worker without a GPU: one worker each would be a little faster, and hold the networks twice as
often."""
SECONDS: Final = 10.0
"""How long a cluster may take to let itself be reached."""
STORE_BYTES: Final = 256 << 20
"""What Ray may keep in memory where we start it: boxes go out and run lengths come back, never pixels."""
_ALWAYS: Final = {
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # of this process: that an actor may be restarted is no error to tell
    "RAY_ENABLE_AUTO_CONNECT": "0",  # what still runs when a run is interrupted does not start Ray once more
}
_STARTED_BY_US: Final = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # wherever it runs, this makes Ray listen on the loopback alone
    "RAY_USAGE_STATS_ENABLED": "0",
}


@dataclass(frozen=True, slots=True)
class Pool:
    """Workers that a cluster has room for.

    Attributes:
        workers: How many, with the machines that the cluster has now.
        cpus: CPUs of each, and its threads for host work.
        gpus: GPUs of each: 0 or 1.
        machines: Machines that they are on.
    """

    workers: int
    cpus: int
    gpus: int
    machines: int

    def __str__(self) -> str:
        each = f"{self.cpus} CPU{'s' * (self.cpus > 1)}" + (" and a GPU" if self.gpus else "")
        return (
            f"{self.workers} worker{'s' * (self.workers > 1)} with {each}{' each' * (self.workers > 1)}, "
            f"on {self.machines} machine{'s' * (self.machines > 1)}"
        )


@contextmanager
def ray_cluster() -> Iterator[Sequence[Mapping[str, float]]]:
    """Connects to the cluster that ``RAY_ADDRESS`` names, or starts Ray on this machine for the while.

    What is started listens on the loopback alone, and ends with the block, or with this process.

    Yields:
        The resources of each machine, by Ray's names ("CPU", "GPU").

    Raises:
        MissingExtraError: Ray is not installed.
        ClusterError: Nothing answers at the address, or Ray does not start.
    """
    address = os.environ.get("RAY_ADDRESS", "local")
    options: dict[str, Any] = {"address": address}
    settings = _ALWAYS
    if address == "local":
        options |= {"include_dashboard": False, "object_store_memory": STORE_BYTES}
        settings = _ALWAYS | _STARTED_BY_US
    for name, value in settings.items():
        os.environ.setdefault(name, value)  # before Ray is imported, for it reads them then
    try:
        import ray
        import ray.data  # without its extra "data", Ray lacks what this imports
    except ModuleNotFoundError as error:
        raise MissingExtraError("boxmask convert --engine ray", str(error.name), "ray") from error
    ended = signal.getsignal(signal.SIGTERM)
    try:
        _require_reachable(address)
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ray.exceptions.RayError, RuntimeError, ValueError, OSError) as error:
        if address == "local":
            raise ClusterError(f"Ray cannot be started: {error}") from error
        raise ClusterError(f"Ray at RAY_ADDRESS={address} cannot be reached: {error}", 3) from error
    if current_thread() is main_thread():
        signal.signal(signal.SIGTERM, ended)  # Ray's own handler would let the process abort
    try:
        yield [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]  # Ray leaves it untyped
    finally:
        ray.shutdown()


def _require_reachable(address: str) -> None:
    """Tries the address, for Ray itself would go on trying for minutes.

    Raises:
        ClusterError: It is one of Ray Client, on whose other end the dataset is not.
        OSError: Nobody listens there.
    """
    host, _, port = address.rpartition(":")
    if "://" in address:
        raise ClusterError(
            f"RAY_ADDRESS={address} is of Ray Client, which cannot read a dataset of this machine; "
            "give the cluster's own HOST:PORT, or run the command on the cluster (ray job submit)",
            2,
        )
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), SECONDS).close()


def pool_of(machines: Sequence[Mapping[str, float]], settings: Settings) -> Pool:
    """Returns the workers that a conversion can have.

    Where there are GPUs and the method has a use for them, each worker has one of its own, and machines
    without a GPU do not take part: one of their workers would answer long after the others are done.

    Args:
        machines: The resources of each, by Ray's names.
        settings: Of the conversion; its ``workers`` are the CPUs of each worker.

    Raises:
        DeviceError: A GPU is asked for, and there is none.
        ClusterError: No machine has room for a worker.
    """
    wants_gpus = settings.method == CFS and settings.device != "cpu"
    with_gpus = [machine for machine in machines if machine.get("GPU", 0) >= 1] if wants_gpus else []
    if wants_gpus and settings.device == "cuda" and not with_gpus:
        raise DeviceError("cuda", "no machine of the Ray cluster has a GPU; add one, or pass --device cpu")
    gpus = 1 if with_gpus else 0
    machines = with_gpus or machines
    cpus = settings.workers or _cpus_each(machines, gpus)
    room = [_room(machine, cpus, gpus) for machine in machines]
    if not any(room):
        most = max((int(machine.get("CPU", 0)) for machine in machines), default=0)
        raise ClusterError(
            f"no machine of the Ray cluster has room for a worker with {cpus} CPUs, for the largest has "
            f"{most}; pass a smaller --workers, or add a machine"
        )
    return Pool(sum(room), cpus, gpus, sum(1 for workers in room if workers))


def _cpus_each(machines: Sequence[Mapping[str, float]], gpus: int) -> int:
    """Returns the CPUs of a worker that suit the smallest machine that can take one."""
    if gpus:
        shares = [int(machine.get("CPU", 0)) // int(machine["GPU"]) for machine in machines]
        return max(1, min(shares))
    return min([CPUS, *(int(cpus) for machine in machines if (cpus := machine.get("CPU", 0)) >= 1)])


def _room(machine: Mapping[str, float], cpus: int, gpus: int) -> int:
    by_cpus = int(machine.get("CPU", 0)) // cpus
    return min(by_cpus, int(machine.get("GPU", 0))) if gpus else by_cpus
