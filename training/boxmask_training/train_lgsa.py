"""Trains LGSA-DeepLab: one flat run for a laptop and a cluster.

Lightning Fabric places it on the CPU, on a GPU or, launched by ``torchrun``, on several. A run that was
stopped goes on exactly where its last checkpoint stands when the same job is started again.
"""

from __future__ import annotations

import logging
import time
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from boxmask_core.errors import TrainingError
from boxmask_training.models.build import build_deeplab, load_pretrained
from boxmask_training.run import (
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
from boxmask_training.schedule import poly
from boxmask_training.segmentation_losses import segmentation_loss
from boxmask_training.segmentation_samples import SegmentationDataset

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lightning_fabric import Fabric
    from torch import Tensor

    from boxmask_training.lgsa_job import LgsaJob
    from boxmask_training.lgsa_settings import LgsaSettings
    from boxmask_training.models.deeplab import DeepLab

    Batch = tuple[Tensor, Tensor]

log = logging.getLogger(__name__)


def train_lgsa(job: LgsaJob) -> Path:
    """Trains, or goes on training, and returns the checkpoint to export.

    Args:
        job: The run.

    Returns:
        ``last.ckpt``: the schedule ends where it ends, and no checkpoint is chosen by looking at a result.

    Raises:
        DeviceError: CUDA is asked for and is not to be had.
        TrainingError: The run cannot start, belongs to another job, or its loss is not finite.
    """
    settings = job.settings
    fabric = start_fabric(job)
    network = build_deeplab(
        settings.backbone, len(job.class_names) + 1, output_stride=settings.output_stride,
        modules=settings.attention_modules, walk=settings.walks,
    )  # fmt: skip
    load_pretrained(network, settings.weights)
    freeze(network, settings.frozen_levels)
    layout = torch.channels_last if job.channels_last else torch.contiguous_format
    network.to(memory_format=layout)
    if job.compile:
        network.compile()
    model, optimizer = fabric.setup(network, build_optimizer(network, settings))
    batches = EpochBatches(
        len(job.samples), settings.batch_size, settings.seed, fabric.global_rank, fabric.world_size
    )
    loader = build_loader(job, fabric, batches)
    progress = Progress(0, 0, 0.0, [], [])
    run = Run(fabric, network, network, optimizer, progress)
    if (job.out / LAST).exists():
        restore(job, run)
    writer = SummaryWriter(str(job.out / "tensorboard")) if fabric.is_global_zero else None
    epochs = settings.stop_after or settings.epochs

    with closing(writer) if writer else nullcontext():
        for epoch in range(progress.epoch, epochs):
            started_at = time.monotonic()
            prepare_for_training(network)
            batches.start(epoch, progress.batch)
            bar = tqdm(
                loader, total=len(batches), initial=progress.batch, desc=f"epoch {epoch + 1}/{epochs}",
                disable=not (job.progress and fabric.is_global_zero),
            )  # fmt: skip
            for image, labels in bar:
                step = epoch * len(batches) + progress.batch
                rate = set_learning_rate(optimizer, settings, step, len(batches))
                pixels = image.float().contiguous(memory_format=layout)
                loss = segmentation_loss(model, pixels, labels, settings)
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
                save_state(job, LAST, run)
                seconds = time.monotonic() - started_at
                log.info("epoch %d: loss %.4f, %.0f s", epoch + 1, progress.epoch_losses[-1], seconds)
            fabric.barrier()
    return job.out / LAST


def freeze(network: DeepLab, frozen_levels: int) -> None:
    """Takes all batch norms, their affine parameters too, and the backbone's first levels from training.

    Args:
        network: The network.
        frozen_levels: Levels that are not trained, the stem with them; 0 for none.
    """
    backbone = cast("nn.Module", network.backbone)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False)
    if frozen_levels:
        network.backbone.stem.requires_grad_(False)
        for level in cast("nn.ModuleList", backbone.get_submodule("levels"))[:frozen_levels]:
            level.requires_grad_(False)


def prepare_for_training(network: DeepLab) -> None:
    """Puts the network into training mode; batch norms keep the statistics of their pretraining."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def build_loader(job: LgsaJob, fabric: Fabric, batches: EpochBatches) -> Iterable[Batch]:
    """Builds what loads the batches and puts them on the device.

    Raises:
        TrainingError: There are fewer samples than one batch takes.
    """
    if len(batches) == 0:
        needed = job.settings.batch_size * fabric.world_size
        raise TrainingError(
            f"expected at least {needed} images for one batch, but got {len(job.samples)}; lower batch_size"
        )
    loader = DataLoader(
        SegmentationDataset(job.samples, len(job.class_names) + 1, job.settings),
        batch_sampler=batches,
        num_workers=job.workers,
        pin_memory=fabric.device.type == "cuda",
        generator=torch.Generator(),  # else every start of the loader draws from the run's random state
    )
    return cast("Iterable[Batch]", fabric.setup_dataloaders(loader, use_distributed_sampler=False))


def build_optimizer(network: DeepLab, settings: LgsaSettings) -> Optimizer:
    """Builds the optimizer with DeepLab-v2's groups: backbone, weights of what is new, biases of what is new.

    Args:
        network: The network, frozen where it is to be.
        settings: Which one; learning rate and its factor, momentum, weight decay.
    """
    trained = [(name, weight) for name, weight in network.named_parameters() if weight.requires_grad]
    head = [(name, weight) for name, weight in trained if not name.startswith("backbone.")]
    groups = [
        {"params": [weight for name, weight in trained if name.startswith("backbone.")], "scale": 1.0},
        {"params": [weight for name, weight in head if name.endswith("weight")], "scale": settings.head_lr},
        {
            "params": [weight for name, weight in head if name.endswith("bias")],
            "scale": 2 * settings.head_lr,
            "weight_decay": 0.0,
        },
    ]
    if settings.optimizer == "adamw":
        return AdamW(groups, lr=settings.lr, weight_decay=settings.weight_decay)
    return SGD(groups, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay)


def set_learning_rate(optimizer: Any, settings: LgsaSettings, step: int, steps_per_epoch: int) -> float:
    """Sets every group's learning rate for one step and returns the backbone's."""
    factor = poly(
        step,
        total=settings.epochs * steps_per_epoch,
        power=settings.power,
        warmup=round(settings.warmup_epochs * steps_per_epoch),
        warmup_factor=settings.warmup_factor,
    )
    for group in optimizer.param_groups:
        group["lr"] = settings.lr * factor * group["scale"]
    return settings.lr * factor
