"""Trains CFS: one flat run for a laptop and a cluster.

Lightning Fabric places it on the CPU, on a GPU or, launched by ``torchrun``, on several. A run that was
stopped goes on exactly where its last checkpoint stands when the same job is started again.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from lightning_fabric import Fabric
from torch.optim import SGD, AdamW, Optimizer
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from boxmask_core.errors import TrainingError
from boxmask_training import checkpoint
from boxmask_training.losses import cross_entropy, generalized_cross_entropy, projection
from boxmask_training.models.build import build_cfs, load_pretrained
from boxmask_training.samples import CfsDataset
from boxmask_training.sampling import EpochBatches
from boxmask_training.schedule import step_decay, warmup_cosine
from boxmask_training.validation import mean_iou

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from boxmask_training.models.cfs import CFS
    from boxmask_training.samples import Sample
    from boxmask_training.settings import CfsSettings
    from boxmask_training.validation import HeldOut

log = logging.getLogger(__name__)

WARMUP_STEPS = 50
MAX_GRADIENT_NORM = 10.0
LAST, BEST = "last.ckpt", "best.ckpt"


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
        accelerator: Fabric's: ``auto``, ``cpu``, ``cuda``.
        devices: Fabric's: ``auto`` or a number per node.
        precision: Fabric's: ``32-true``, ``16-mixed``, ``bf16-mixed``.
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
    accelerator: str = "auto"
    devices: str = "auto"
    precision: Any = "32-true"
    workers: int = 1
    checkpoint_every: int = 200
    progress: bool = True


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


def train_cfs(job: CfsJob) -> Path:
    """Trains, or goes on training, and returns the checkpoint to export.

    Args:
        job: The run.

    Returns:
        ``best.ckpt`` where the run is judged, else ``last.ckpt``.

    Raises:
        TrainingError: The run cannot start, belongs to another job, or its loss is not finite.
    """
    settings = job.settings
    fabric = Fabric(accelerator=job.accelerator, devices=job.devices, precision=job.precision)
    fabric.launch()
    fabric.seed_everything(settings.seed, verbose=False)
    job.out.mkdir(parents=True, exist_ok=True)

    network = build_cfs(settings.backbone, len(job.class_names))
    load_pretrained(network, settings.weights)
    network.to(memory_format=torch.channels_last)
    average = fabric.to_device(copy.deepcopy(network)) if settings.average else network
    optimizer = build_optimizer(network, settings)
    model, wrapped = fabric.setup(network, optimizer)

    batches = EpochBatches(
        len(job.samples), settings.batch_size, settings.seed, fabric.global_rank, fabric.world_size
    )
    if len(batches) == 0:
        needed = settings.batch_size * fabric.world_size
        raise TrainingError(f"expected at least {needed} boxes for one batch, but got {len(job.samples)}")
    dataset = CfsDataset(job.samples, len(job.class_names), settings)
    loader = fabric.setup_dataloaders(
        DataLoader(
            dataset, batch_sampler=batches, num_workers=job.workers, pin_memory=fabric.device.type == "cuda"
        ),
        use_distributed_sampler=False,
    )
    progress = restore(job, network, average, wrapped)
    writer = SummaryWriter(str(job.out / "tensorboard")) if fabric.is_global_zero else None
    epochs = settings.stop_after or settings.epochs

    for epoch in range(progress.epoch, epochs):
        prepare_for_training(network, freeze_norm=settings.freeze_norm)
        batches.start(epoch, progress.batch)
        bar = tqdm(
            loader, total=len(batches), initial=progress.batch, desc=f"epoch {epoch + 1}/{epochs}",
            disable=not (job.progress and fabric.is_global_zero),
        )  # fmt: skip
        saved_at = time.monotonic()
        for batch in bar:
            step = epoch * len(batches) + progress.batch
            rate = set_learning_rate(wrapped, settings, epoch, step, len(batches))
            loss = batch_loss(model, batch, settings)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise TrainingError(
                    f"the loss is {value} at epoch {epoch + 1}, batch {progress.batch + 1}, learning rate {rate:g}; "
                    f"lower lr or use precision 32-true; {job.out / LAST} holds the state before"
                )
            wrapped.zero_grad()
            fabric.backward(loss)
            fabric.clip_gradients(model, wrapped, max_norm=MAX_GRADIENT_NORM)
            wrapped.step()
            if settings.average:
                update_average(average, network, settings.average, step)
            progress.batch += 1
            progress.loss_sum += value
            bar.set_postfix(loss=f"{progress.loss_sum / progress.batch:.4f}")
            if writer:
                writer.add_scalar("train/loss", value, step)
                writer.add_scalar("train/learning_rate", rate, step)
            if progress.batch % job.checkpoint_every == 0 and fabric.is_global_zero:
                save_state(job, LAST, network, average, wrapped, progress)
        progress.epoch_losses.append(progress.loss_sum / progress.batch)
        progress.epoch, progress.batch, progress.loss_sum = epoch + 1, 0, 0.0
        if job.held_out is not None and fabric.is_global_zero:
            progress.judgements.append(mean_iou(average, job.held_out, settings.size))
            if progress.judgements[-1] == max(progress.judgements):
                save_state(job, BEST, network, average, wrapped, progress)
        if fabric.is_global_zero:
            save_state(job, LAST, network, average, wrapped, progress)
            report_epoch(writer, progress, time.monotonic() - saved_at)
        fabric.barrier()
    if writer:
        writer.close()
    return job.out / (BEST if job.held_out is not None else LAST)


def build_optimizer(network: CFS, settings: CfsSettings) -> Optimizer:
    """Builds the optimizer with one group for the backbone and one for the rest.

    Args:
        network: The network.
        settings: Optimizer, learning rates, weight decay.
    """
    backbone = [p for name, p in network.named_parameters() if name.startswith("backbone.")]
    rest = [p for name, p in network.named_parameters() if not name.startswith("backbone.")]
    groups = [
        {"params": backbone, "scale": settings.backbone_lr},
        {"params": rest, "scale": 1.0},
    ]
    if settings.optimizer == "sgd":
        return SGD(groups, lr=settings.lr, momentum=0.9, weight_decay=settings.weight_decay)
    return AdamW(groups, lr=settings.lr, weight_decay=settings.weight_decay)


def set_learning_rate(
    optimizer: Any, settings: CfsSettings, epoch: int, step: int, steps_per_epoch: int
) -> float:
    """Sets every group's learning rate for one step and returns the decoder's."""
    if settings.schedule == "step":
        factor = step_decay(epoch, factor=settings.lr_factor, every=settings.lr_every)
    else:
        factor = warmup_cosine(step, total=settings.epochs * steps_per_epoch, warmup=WARMUP_STEPS)
    for group in optimizer.param_groups:
        group["lr"] = settings.lr * factor * group["scale"]
    return settings.lr * factor


def prepare_for_training(network: CFS, *, freeze_norm: bool) -> None:
    """Puts the network into training mode; the backbone's batch norms keep their statistics if frozen."""
    network.train()
    if not freeze_norm:
        return
    backbone = network.get_submodule("backbone")
    for module in backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()


def batch_loss(model: Any, batch: tuple[Tensor, Tensor, Tensor, Tensor], settings: CfsSettings) -> Tensor:
    """Computes the loss of one batch of `boxmask_training.samples.CfsDataset`."""
    pixels, box_mask, label, target = batch
    image = pixels.float().contiguous(memory_format=torch.channels_last)
    inside = box_mask.float()
    logits = model(image, inside, label).float()
    wanted = target.float() / 255
    if settings.loss == "gce":
        loss = generalized_cross_entropy(logits, wanted, settings.gce_q)
    else:
        loss = cross_entropy(logits, wanted)
    if settings.projection:
        loss = loss + settings.projection * projection(logits, inside[:, 0])
    return loss


@torch.no_grad()
def update_average(average: CFS, network: CFS, decay: float, step: int) -> None:
    """Moves the averaged weights towards the network's; early steps move them further.

    Args:
        average: The averaged network, changed in place.
        network: The network.
        decay: Share of the old average that stays, once the run is under way.
        step: 0-based step of the run.
    """
    keep = min(decay, (1 + step) / (10 + step))
    for old, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if old.dtype.is_floating_point:
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)


def job_digest(job: CfsJob) -> str:
    """Returns a digest of what a run's numbers depend on: settings, classes, samples."""
    digest = hashlib.sha256(json.dumps([asdict(job.settings), job.class_names], sort_keys=True).encode())
    for sample in job.samples:
        place = (sample.image.name, sample.box, sample.class_index, sample.window)
        digest.update(repr(place).encode())
        digest.update(sample.rle)
    return digest.hexdigest()


def save_state(
    job: CfsJob, name: str, network: CFS, average: CFS, optimizer: Any, progress: Progress
) -> None:
    """Writes a checkpoint of the run."""
    checkpoint.save(
        job.out / name,
        {
            "task": "cfs",
            "job": job_digest(job),
            "settings": {**asdict(job.settings), "training_data": job.training_data},
            "class_names": list(job.class_names),
            "network": network.state_dict(),
            "averaged": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "progress": asdict(progress),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        },
    )


def restore(job: CfsJob, network: CFS, average: CFS, optimizer: Any) -> Progress:
    """Puts a stopped run back where it stood, or starts at the beginning.

    Raises:
        TrainingError: The folder holds a run of another job.
    """
    last = job.out / LAST
    if not last.exists():
        return Progress(0, 0, 0.0, [], [])
    state = checkpoint.load(last)
    if state["job"] != job_digest(job):
        raise TrainingError(
            f"{job.out} holds a run with other settings, classes or boxes; give the same ones to resume it, "
            "or another --out to start anew"
        )
    network.load_state_dict(state["network"])
    average.load_state_dict(state["averaged"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    if state["random_cuda"]:
        torch.cuda.set_rng_state_all(state["random_cuda"])
    progress = Progress(**state["progress"])
    log.info("resuming %s at epoch %d, batch %d", job.out, progress.epoch + 1, progress.batch + 1)
    return progress


def report_epoch(writer: SummaryWriter | None, progress: Progress, seconds: float) -> None:
    """Logs a finished epoch."""
    judged = f", held-out mIoU {100 * progress.judgements[-1]:.2f}" if progress.judgements else ""
    log.info("epoch %d: loss %.4f%s, %.0f s", progress.epoch, progress.epoch_losses[-1], judged, seconds)
    if writer is None:
        return
    writer.add_scalar("epoch/loss", progress.epoch_losses[-1], progress.epoch)
    if progress.judgements:
        writer.add_scalar("epoch/held_out_miou", progress.judgements[-1], progress.epoch)
