"""Trains CFS: one flat run for a laptop and a cluster.

Lightning Fabric places it on the CPU, on a GPU or, launched by ``torchrun``, on several. A run that was
stopped goes on exactly where its last checkpoint stands when the same job is started again.
"""

from __future__ import annotations

import copy
import logging
import time
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.optim import SGD, AdamW, Optimizer
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from boxmask_core.errors import TrainingError
from boxmask_training.cfs_samples import CfsDataset
from boxmask_training.losses import cross_entropy, generalized_cross_entropy, projection
from boxmask_training.models.build import build_cfs, load_pretrained
from boxmask_training.run import (
    BEST,
    LAST,
    MAX_GRADIENT_NORM,
    Progress,
    Run,
    require_finite,
    restore,
    save_state,
    start_fabric,
)
from boxmask_training.sampling import EpochBatches
from boxmask_training.schedule import step_decay, warmup_cosine
from boxmask_training.validation import mean_iou

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lightning_fabric import Fabric
    from torch import Tensor

    from boxmask_training.cfs_job import CfsJob
    from boxmask_training.cfs_settings import CfsSettings
    from boxmask_training.models.cfs import CFS

    Batch = tuple[Tensor, Tensor, Tensor, Tensor]

log = logging.getLogger(__name__)

WARMUP_STEPS = 50


def train_cfs(job: CfsJob) -> Path:
    """Trains, or goes on training, and returns the checkpoint to export.

    Args:
        job: The run.

    Returns:
        ``best.ckpt`` where the run is judged, else ``last.ckpt``.

    Raises:
        DeviceError: CUDA is asked for and is not to be had.
        TrainingError: The run cannot start, belongs to another job, or its loss is not finite.
    """
    settings = job.settings
    fabric = start_fabric(job)
    network = build_cfs(settings.backbone, len(job.class_names))
    load_pretrained(network, settings.weights)
    network.to(memory_format=torch.channels_last)
    average = network
    if settings.average:
        average = copy.deepcopy(network)
        fabric.to_device(average)
    model, optimizer = fabric.setup(network, build_optimizer(network, settings))
    batches = EpochBatches(
        len(job.samples), settings.batch_size, settings.seed, fabric.global_rank, fabric.world_size
    )
    loader = build_loader(job, fabric, batches)
    progress = Progress(0, 0, 0.0, [], [])
    run = Run(fabric, network, average, optimizer, progress)
    if (job.out / LAST).exists():
        restore(job, run)
    writer = SummaryWriter(str(job.out / "tensorboard")) if fabric.is_global_zero else None
    epochs = settings.stop_after or settings.epochs

    with closing(writer) if writer else nullcontext():
        for epoch in range(progress.epoch, epochs):
            started_at = time.monotonic()
            prepare_for_training(network, freeze_norm=settings.freeze_norm)
            batches.start(epoch, progress.batch)
            bar = tqdm(
                loader, total=len(batches), initial=progress.batch, desc=f"epoch {epoch + 1}/{epochs}",
                disable=not (job.progress and fabric.is_global_zero),
            )  # fmt: skip
            for batch in bar:
                step = epoch * len(batches) + progress.batch
                rate = set_learning_rate(optimizer, settings, epoch, step, len(batches))
                loss = batch_loss(model, batch, settings)
                value = float(loss.detach())
                require_finite("loss", value, job, progress, rate)
                optimizer.zero_grad()
                fabric.backward(loss)
                norm = fabric.clip_gradients(
                    model, optimizer, max_norm=MAX_GRADIENT_NORM, error_if_nonfinite=False
                )
                if not job.precision.startswith("16"):  # there the scaler leaves out such a step and goes on
                    require_finite("gradients' norm", float(cast("Tensor", norm)), job, progress, rate)
                optimizer.step()
                if settings.average:
                    update_average(average, network, settings.average, step)
                progress.batch += 1
                progress.loss_sum += value
                bar.set_postfix(loss=f"{progress.loss_sum / progress.batch:.4f}")
                if writer:
                    writer.add_scalar("train/loss", value, step)
                    writer.add_scalar("train/learning_rate", rate, step)
                if progress.batch % job.checkpoint_every == 0 and fabric.is_global_zero:
                    save_state(job, LAST, run)
            progress.epoch_losses.append(progress.loss_sum / progress.batch)
            progress.epoch, progress.batch, progress.loss_sum = epoch + 1, 0, 0.0
            if fabric.is_global_zero:
                finish_epoch(job, run, writer, time.monotonic() - started_at)
            fabric.barrier()
    return job.out / (BEST if job.held_out is not None else LAST)


def build_loader(job: CfsJob, fabric: Fabric, batches: EpochBatches) -> Iterable[Batch]:
    """Builds what loads the batches and puts them on the device.

    Raises:
        TrainingError: There are fewer samples than one batch takes.
    """
    if len(batches) == 0:
        needed = job.settings.batch_size * fabric.world_size
        raise TrainingError(
            f"expected at least {needed} boxes for one batch, but got {len(job.samples)}; lower batch_size"
        )
    loader = DataLoader(
        CfsDataset(job.samples, len(job.class_names), job.settings),
        batch_sampler=batches,
        num_workers=job.workers,
        pin_memory=fabric.device.type == "cuda",
        generator=torch.Generator(),  # else every start of the loader draws from the run's random state
    )
    return cast("Iterable[Batch]", fabric.setup_dataloaders(loader, use_distributed_sampler=False))


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


def batch_loss(model: Any, batch: Batch, settings: CfsSettings) -> Tensor:
    """Computes the loss of one batch of `boxmask_training.cfs_samples.CfsDataset`."""
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


def finish_epoch(job: CfsJob, run: Run[CFS], writer: SummaryWriter | None, seconds: float) -> None:
    """Judges the epoch's weights if there is something to judge by, saves and reports."""
    progress = run.progress
    if job.held_out is not None:
        progress.judgements.append(mean_iou(run.average, job.held_out, job.settings.size))
        if progress.judgements[-1] == max(progress.judgements):
            save_state(job, BEST, run)
    save_state(job, LAST, run)
    report_epoch(writer, progress, seconds)


def report_epoch(writer: SummaryWriter | None, progress: Progress, seconds: float) -> None:
    """Logs a finished epoch."""
    judged = f", held-out mIoU {100 * progress.judgements[-1]:.2f}" if progress.judgements else ""
    log.info("epoch %d: loss %.4f%s, %.0f s", progress.epoch, progress.epoch_losses[-1], judged, seconds)
    if writer is None:
        return
    writer.add_scalar("epoch/loss", progress.epoch_losses[-1], progress.epoch)
    if progress.judgements:
        writer.add_scalar("epoch/held_out_miou", progress.judgements[-1], progress.epoch)
