"""The command ``boxmask train lgsa``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from boxmask_core.formats import open_dataset
from boxmask_training.configs import lgsa_voc12, lgsa_voc_animals
from boxmask_training.lgsa_job import LgsaJob
from boxmask_training.lgsa_settings import LgsaSettings
from boxmask_training.options import add_placement_options, add_setting_options, overridden
from boxmask_training.segmentation_samples import find_samples
from boxmask_training.train_lgsa import train_lgsa

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIGS = {"voc12": lgsa_voc12.SETTINGS, "voc_animals": lgsa_voc_animals.SETTINGS}


def parser() -> argparse.ArgumentParser:
    """Builds the command line; every setting of `LgsaSettings` is an option that overrides the config."""
    out = argparse.ArgumentParser(
        prog="boxmask train lgsa",
        description="Train semantic segmentation (DeepLab with loss-guided self-attention) on label maps: "
        "pseudo-labels or true ones. Give the same command again to resume a run that was stopped.",
    )
    out.add_argument("--data", type=Path, required=True, help="dataset of the images (VOC, COCO or YOLO)")
    out.add_argument("--split", help="image set of the dataset")
    out.add_argument(
        "--labels",
        type=Path,
        required=True,
        help="label maps: a folder of KEY.png, what `boxmask convert --to voc` wrote, or, for the truth, a "
        "VOC2012 folder (SegmentationClass, then SegmentationClassAug)",
    )
    out.add_argument(
        "--out", type=Path, required=True, help="folder of the run: checkpoints, TensorBoard log"
    )
    out.add_argument("--config", choices=sorted(CONFIGS), default="voc12", help="recipe to start from")
    out.add_argument(
        "--training-data", default="", help="what the data is, for the bundle; default: its folder's name"
    )
    add_placement_options(out)
    out.add_argument(
        "--channels-last", action=argparse.BooleanOptionalAction, default=True, help="memory layout (default)"
    )
    out.add_argument("--compile", action="store_true", help="compile the network with torch.compile")
    add_setting_options(out, LgsaSettings)
    return out


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Args:
        argv: Arguments after ``boxmask train lgsa``.

    Returns:
        The exit status.
    """
    arguments = parser().parse_args(argv)
    dataset = open_dataset(arguments.data, split=arguments.split)
    job = LgsaJob(
        settings=overridden(CONFIGS[arguments.config], arguments),
        samples=find_samples(dataset, arguments.labels),
        class_names=dataset.class_names,
        out=arguments.out,
        training_data=arguments.training_data or arguments.data.resolve().name,
        accelerator=arguments.accelerator,
        devices=arguments.devices,
        precision=arguments.precision,
        channels_last=arguments.channels_last,
        compile=arguments.compile,
        workers=arguments.workers,
        checkpoint_every=arguments.checkpoint_every,
        progress=sys.stderr.isatty(),
    )
    checkpoint = train_lgsa(job)
    if int(os.environ.get("RANK", "0")) == 0:  # torchrun runs this in every process
        sys.stdout.write(f"{checkpoint}\n")
    return 0
