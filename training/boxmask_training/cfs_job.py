"""A run of CFS: what it is made of, where it stands, and how both outlive the process."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from boxmask_core.errors import TrainingError
from boxmask_training import checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from lightning_fabric import Fabric

    from boxmask_training.models.cfs import CFS
    from boxmask_training.samples import Sample
    from boxmask_training.settings import CfsSettings
    from boxmask_training.validation import HeldOut

log = logging.getLogger(__name__)

LAST, BEST = "last.ckpt", "best.ckpt"
Accelerator = Literal["auto", "cpu", "cuda"]
Precision = Literal["32-true", "16-mixed", "bf16-mixed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CfsJob:
    """Everything a run is made of.

    Attributes:
        settings: How to train.
        samples: What to train on.
        class_names: Classes of the class vector.
        out: Folder of the run: checkpoints and TensorBoard log.
        training_data: What the samples are, for people; it travels into the bundle.
        held_out: What to judge checkpoints by after each epoch; None keeps the last one.
        accelerator: Fabric's.
        devices: Fabric's: ``auto`` or a number per node; under ``torchrun``, ``auto`` is what it started.
        precision: Fabric's.
        workers: Processes that load samples; 0 loads them in the training process.
        checkpoint_every: Steps between checkpoints inside an epoch; one is always written at its end.
        progress: Whether a progress bar is shown.
    """

    settings: CfsSettings
    samples: tuple[Sample, ...]
    class_names: tuple[str, ...]
    out: Path
    training_data: str
    held_out: HeldOut | None = None
    accelerator: Accelerator = "auto"
    devices: str = "auto"
    precision: Precision = "32-true"
    workers: int = 1
    checkpoint_every: int = 200
    progress: bool = True

    def __post_init__(self) -> None:
        if self.checkpoint_every < 1:
            raise TrainingError(
                f"expected checkpoint_every to be at least 1, but got {self.checkpoint_every}"
            )
        if self.workers < 0:
            raise TrainingError(f"expected workers to be at least 0, but got {self.workers}")


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
class Run:
    """What changes while training, which is what a checkpoint holds.

    Attributes:
        fabric: Where the run is placed; with mixed precision it scales the loss.
        network: The network.
        average: Its averaged weights, or the network itself if there is no average.
        optimizer: The optimizer, as Fabric wraps it.
        progress: Where the run stands.
    """

    fabric: Fabric
    network: CFS
    average: CFS
    optimizer: Any
    progress: Progress


def job_digest(job: CfsJob) -> str:
    """Returns a digest of what a run's numbers depend on: settings, classes, samples."""
    digest = hashlib.sha256(json.dumps([asdict(job.settings), job.class_names], sort_keys=True).encode())
    for sample in job.samples:
        place = (sample.image.name, sample.box, sample.class_index, sample.window)
        digest.update(repr(place).encode())
        digest.update(sample.rle)
    return digest.hexdigest()


def save_state(job: CfsJob, name: str, run: Run) -> None:
    """Writes a checkpoint of the run."""
    checkpoint.save(
        job.out / name,
        {
            "task": "cfs",
            "job": job_digest(job),
            "settings": {**asdict(job.settings), "training_data": job.training_data},
            "class_names": list(job.class_names),
            "world_size": run.fabric.world_size,
            "network": run.network.state_dict(),
            "averaged": run.average.state_dict(),
            "optimizer": run.optimizer.state_dict(),
            "precision": run.fabric.strategy.precision.state_dict(),
            "progress": asdict(run.progress),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        },
    )


def restore(job: CfsJob, run: Run) -> None:
    """Puts a stopped run back where it stood.

    Raises:
        TrainingError: The folder holds a run of another job, or on another number of devices.
    """
    state = checkpoint.load(job.out / LAST)
    if state["job"] != job_digest(job):
        raise TrainingError(
            f"{job.out} holds a run with other settings, classes or boxes; give the same ones to resume it, "
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
