"""The command ``boxmask train cfs``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from boxmask_core.errors import DatasetError, TrainingError
from boxmask_core.formats import open_dataset
from boxmask_core.formats.coco_masks import INSTANCES, CocoMasks
from boxmask_core.instances import ImageRecord
from boxmask_training.calibration import write_calibrated
from boxmask_training.cfs_job import CfsJob
from boxmask_training.cfs_samples import Selection, select_samples
from boxmask_training.cfs_settings import CfsSettings
from boxmask_training.configs import cfs_paper, cfs_starter
from boxmask_training.options import add_placement_options, add_setting_options, overridden
from boxmask_training.train_cfs import train_cfs
from boxmask_training.validation import HeldOut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxmask_core.formats.interface import DetectionDataset

log = logging.getLogger(__name__)

CONFIGS = {"paper": cfs_paper.SETTINGS, "starter": cfs_starter.SETTINGS}
CALIBRATED = "calibrated.ckpt"


def parser() -> argparse.ArgumentParser:
    """Builds the command line; every setting of `CfsSettings` is an option that overrides the config."""
    out = argparse.ArgumentParser(
        prog="boxmask train cfs",
        description="Train the constrained foreground network on boxes and their GrabCut proposals. "
        "Give the same command again to resume a run that was stopped.",
    )
    out.add_argument("--data", type=Path, required=True, help="dataset with boxes (VOC, COCO or YOLO)")
    out.add_argument("--split", help="image set of the dataset")
    out.add_argument(
        "--proposals",
        type=Path,
        required=True,
        help="what `boxmask convert --method grabcut --to coco` wrote",
    )
    out.add_argument(
        "--out", type=Path, required=True, help="folder of the run: checkpoints, TensorBoard log"
    )
    out.add_argument("--config", choices=sorted(CONFIGS), default="paper", help="recipe to start from")
    out.add_argument("--hold-out", type=Path, help="file of image keys, one a line, that judge checkpoints")
    out.add_argument("--truth", type=Path, help="folder of true label maps (KEY.png) of the held-out images")
    out.add_argument("--judge-classes", default="", help="comma-separated classes to judge by; default: all")
    out.add_argument(
        "--calibrate",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="move the best checkpoint's operating point to where the held-out images want it (default)",
    )
    out.add_argument("--without-class", action="append", default=[], help="class to leave out of training")
    out.add_argument(
        "--training-data", default="", help="what the data is, for the bundle; default: its folder's name"
    )
    add_placement_options(out)
    add_setting_options(out, CfsSettings)
    return out


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Args:
        argv: Arguments after ``boxmask train cfs``.

    Returns:
        The exit status.
    """
    arguments = parser().parse_args(argv)
    settings = overridden(CONFIGS[arguments.config], arguments)
    dataset = open_dataset(arguments.data, split=arguments.split)
    held_out = read_held_out(arguments, dataset)
    selection = select(arguments, dataset, settings, held_out)
    left_out = ", ".join(f"{count} {why}" for why, count in selection.left_out.items() if count) or "none"
    log.info("training on %d boxes; left out: %s", len(selection.samples), left_out)
    job = CfsJob(
        settings=settings,
        samples=selection.samples,
        class_names=dataset.class_names,
        out=arguments.out,
        training_data=arguments.training_data or arguments.data.resolve().name,
        held_out=held_out,
        accelerator=arguments.accelerator,
        devices=arguments.devices,
        precision=arguments.precision,
        workers=arguments.workers,
        checkpoint_every=arguments.checkpoint_every,
        progress=sys.stderr.isatty(),
    )
    chosen = train_cfs(job)
    if int(os.environ.get("RANK", "0")) == 0:  # torchrun runs this in every process
        if arguments.calibrate and held_out is not None:
            chosen = calibrated(chosen, held_out)
        sys.stdout.write(f"{chosen}\n")
    return 0


def calibrated(best: Path, held_out: HeldOut) -> Path:
    """Calibrates the best checkpoint, says what that changed, and returns the new one."""
    target = best.with_name(CALIBRATED)
    found = write_calibrated(best, target, held_out)
    log.info(
        "calibrated by %+.1f: held-out mIoU %.2f -> %.2f", found.offset, 100 * found.before, 100 * found.after
    )
    return target


def select(
    arguments: argparse.Namespace, dataset: DetectionDataset, settings: CfsSettings, held_out: HeldOut | None
) -> Selection:
    """Chooses the samples that the arguments ask for."""
    proposals: Path = arguments.proposals
    file = proposals / INSTANCES if proposals.is_dir() else proposals
    if not file.is_file():
        raise TrainingError(
            f"there are no proposals at {file}; make them with: "
            f"boxmask convert {arguments.data} --method grabcut --to coco {proposals}"
        )
    return select_samples(
        CocoMasks(file),
        dataset.image_root,
        dataset.class_names,
        settings,
        without_images=[record.key for record in held_out.records] if held_out else [],
        without_classes=arguments.without_class,
    )


def read_held_out(arguments: argparse.Namespace, dataset: DetectionDataset) -> HeldOut | None:
    """Reads the held-out images that the arguments name.

    Raises:
        TrainingError: Only one of ``--hold-out`` and ``--truth`` is given, or a class is unknown.
        DatasetError: The list of held-out images, one of them or its label map is missing.
    """
    if (arguments.hold_out is None) != (arguments.truth is None):
        raise TrainingError(
            "--hold-out and --truth go together: the images to judge by, and their true label maps"
        )
    if arguments.hold_out is None:
        return None
    if not arguments.hold_out.is_file():
        raise DatasetError(arguments.hold_out, "there is no such file; list image keys in it, one a line")
    wanted = set(arguments.hold_out.read_text(encoding="utf-8").split())
    records = tuple(item for item in dataset if isinstance(item, ImageRecord) and item.key in wanted)
    if missing := sorted(wanted - {record.key for record in records}):
        raise DatasetError(
            arguments.hold_out, f"{len(missing)} images are not in the dataset, first: {missing[0]}"
        )
    for record in records:
        if not (arguments.truth / f"{record.key}.png").is_file():
            raise DatasetError(
                arguments.truth, f"the label map {record.key}.png of a held-out image is missing"
            )
    judged = tuple(filter(None, arguments.judge_classes.split(","))) or dataset.class_names
    if unknown := set(judged) - set(dataset.class_names):
        raise TrainingError(
            f"--judge-classes names classes that the dataset does not have: {sorted(unknown)}"
        )
    return HeldOut(records, arguments.truth, dataset.class_names, judged)
