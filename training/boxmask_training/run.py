"""A run: where it is placed, where it stands, and how it outlives the process."""

from __future__ import annotations

import logging
import math
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

import torch
from lightning_fabric import Fabric
from torch import nn

from boxmask_core.errors import DeviceError, TrainingError
from boxmask_training import checkpoint

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

LAST, BEST = "last.ckpt", "best.ckpt"
MAX_GRADIENT_NORM = 10.0
Accelerator = Literal["auto", "cpu", "cuda"]
Precision = Literal["32-true", "16-mixed", "bf16-mixed"]
Network = TypeVar("Network", bound=nn.Module)


class Job(Protocol):
    """What every run is asked for, whatever it trains."""

    @property
    def task(self) -> str:
        """Name of what is trained; it stands in the checkpoint."""

    @property
    def seed(self) -> int:
        """Seed of everything."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes that the network knows; the first has index 1 in label maps."""

    @property
    def out(self) -> Path:
        """Folder of the run."""

    @property
    def accelerator(self) -> Accelerator:
        """Fabric's."""

    @property
    def devices(self) -> str:
        """Fabric's: ``auto`` or a number per node; under ``torchrun``, ``auto`` is what it started."""

    @property
    def precision(self) -> Precision:
        """Fabric's."""

    def digest(self) -> str:
        """Returns a digest of all that the run's numbers depend on."""

    def description(self) -> dict[str, Any]:
        """Returns the settings and what is trained on, for the checkpoint."""


@dataclass(slots=True)
class Progress:
    """Where a run stands.

    Attributes:
        epoch: Epoch under way, 0-based.
        batch: Batches of it that are done.
        loss_sum: Sum of their losses.
        epoch_losses: Mean loss of every finished epoch.
        judgements: Judgement of every finished epoch, if there is something to judge by.
    """

    epoch: int
    batch: int
    loss_sum: float
    epoch_losses: list[float]
    judgements: list[float]


@dataclass(frozen=True, slots=True)
class Run(Generic[Network]):
    """What changes while training, which is what a checkpoint holds.

    Attributes:
        fabric: Where the run is placed; with mixed precision it scales the loss.
        network: The network.
        average: Its averaged weights, or the network itself if there is no average.
        optimizer: The optimizer, as Fabric wraps it.
        progress: Where the run stands.
    """

    fabric: Fabric
    network: Network
    average: Network
    optimizer: Any
    progress: Progress


def start_fabric(job: Job) -> Fabric:
    """Places the run on its devices and makes its folder.

    Raises:
        DeviceError: CUDA is asked for and is not to be had.
    """
    if job.accelerator == "cuda" and not torch.cuda.is_available():
        raise DeviceError("cuda", "PyTorch finds no CUDA device; use --accelerator cpu or auto")
    devices, nodes = job.devices, 1
    if "LOCAL_WORLD_SIZE" in os.environ:  # torchrun has started the processes
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        devices = str(local) if devices == "auto" else devices
        nodes = int(os.environ["WORLD_SIZE"]) // local
    fabric = Fabric(accelerator=job.accelerator, devices=devices, num_nodes=nodes, precision=job.precision)
    fabric.launch()
    fabric.seed_everything(job.seed, verbose=False)
    job.out.mkdir(parents=True, exist_ok=True)
    return fabric


def require_finite(what: str, value: float, job: Job, progress: Progress, rate: float) -> None:
    """Stops a run that has left the numbers.

    Raises:
        TrainingError: The value is infinite or not a number.
    """
    if math.isfinite(value):
        return
    last = job.out / LAST
    raise TrainingError(
        f"the {what} is {value} at epoch {progress.epoch + 1}, batch {progress.batch + 1}, "
        f"learning rate {rate:g}; start anew with a lower lr and another --out"
        + (f", or go on from {last} with --precision 32-true" if last.exists() else "")
    )


def save_state(job: Job, name: str, run: Run[Network]) -> None:
    """Writes a checkpoint of the run."""
    state = {
        "task": job.task,
        "job": job.digest(),
        "settings": job.description(),
        "class_names": list(job.class_names),
        "world_size": run.fabric.world_size,
        "network": run.network.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "precision": run.fabric.strategy.precision.state_dict(),
        "progress": asdict(run.progress),
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    state["averaged"] = state["network"] if run.average is run.network else run.average.state_dict()
    checkpoint.save(job.out / name, state)


def restore(job: Job, run: Run[Network]) -> None:
    """Puts a stopped run back where it stood.

    Raises:
        TrainingError: The folder holds a run of another job, or on another number of devices.
    """
    state = checkpoint.load(job.out / LAST)
    if state["job"] != job.digest():
        raise TrainingError(
            f"{job.out} holds a run with other settings, classes or data; give the same ones to resume it, "
            "or another --out to start anew"
        )
    devices, world_size = run.fabric.world_size, state.get("world_size", 1)
    if devices != world_size:
        raise TrainingError(
            f"{job.out} holds a run on {world_size} devices, but this one is on {devices}; resume it on as "
            "many, or give another --out to start anew"
        )
    run.network.load_state_dict(state["network"])
    run.average.load_state_dict(state["averaged"])
    run.optimizer.load_state_dict(state["optimizer"])
    if scaler := state.get("precision"):
        run.fabric.strategy.precision.load_state_dict(scaler)
    torch.set_rng_state(state["random"])
    if state["random_cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["random_cuda"])
    for name, value in state["progress"].items():
        setattr(run.progress, name, value)
    log.info("resuming %s at epoch %d, batch %d", job.out, run.progress.epoch + 1, run.progress.batch + 1)
