"""The command ``boxmask export``: a checkpoint becomes a network of a bundle."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from boxmask_core.bundle import file_digest
from boxmask_core.errors import InvalidInputError
from boxmask_core.images import decode
from boxmask_export.bundling import export_network
from boxmask_export.cfs import cfs_subject
from boxmask_export.parity import PARITY_LIMIT
from boxmask_export.segmentation import MAX_SIDE, STEP, segmentation_subject
from boxmask_training.checkpoint import TrainedCfs, load_trained

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from boxmask_export.subject import Subject
    from boxmask_training.checkpoint import TrainedLgsa

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
MAX_IMAGES = 10


def parser() -> argparse.ArgumentParser:
    """Builds the command line."""
    out = argparse.ArgumentParser(
        prog="boxmask export",
        description="Turn a training checkpoint into a network of an ONNX bundle: `cfs` or `lgsa`, as the "
        "checkpoint says. The graph is compared with PyTorch's network on real images; if a probability "
        f"differs by more than {PARITY_LIMIT:.0e}, nothing is written.",
    )
    out.add_argument("checkpoint", type=Path, help="what `boxmask train` printed")
    out.add_argument(
        "bundle",
        type=Path,
        help="folder to write; the network joins a bundle that is there, if that is for the same classes",
    )
    out.add_argument("--images", type=Path, required=True, help="folder of photographs for the parity check")
    out.add_argument(
        "--half-weights",
        action="store_true",
        help="store weights as float16: half the file; "
        "what that changes is measured too, and nothing is written if it is too much",
    )
    out.add_argument(
        "--max-side",
        type=int,
        help="segmentation: longest side that images are segmented with, larger ones are resized; pixels, "
        f"a multiple of {STEP} (default: {MAX_SIDE})",
    )
    out.add_argument("--license", default="Apache-2.0", help="SPDX licence of the weights")
    out.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the bundle's network of the same name, or all of a bundle that cannot be read",
    )
    return out


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Args:
        argv: Arguments after ``boxmask export``.

    Returns:
        The exit status.
    """
    arguments = parser().parse_args(argv)
    for chatty in ("onnx_ir", "onnxscript"):  # they tell every step of their optimiser
        logging.getLogger(chatty).setLevel(logging.WARNING)
    images = read_images(arguments.images)
    subject = subject_of(load_trained(arguments.checkpoint), arguments.max_side)
    bundle, errors = export_network(
        subject,
        arguments.bundle,
        images,
        source=file_digest(arguments.checkpoint),
        half_weights=arguments.half_weights,
        license_name=arguments.license,
        overwrite=arguments.overwrite,
    )
    for where, error in errors.items():
        sys.stdout.write(f"parity at {where}: {error:.2e} (limit {PARITY_LIMIT:.0e})\n")
    network = bundle.network(subject.name)
    if arguments.half_weights:
        rounding = f"{network.rounding_error:.2e} (limit {subject.rounding_limit:.0e})"
        sys.stdout.write(f"rounding of the weights: {rounding}\n")
    size = network.file.stat().st_size / 1e6
    sys.stdout.write(
        f"{bundle.root}: {network.file.name}, {size:.1f} MB, {len(bundle.class_names)} classes\n"
    )
    return 0


def subject_of(trained: TrainedCfs | TrainedLgsa, max_side: int | None) -> Subject:
    """Returns what is exported of a trained network.

    Args:
        trained: The network.
        max_side: Longest side that images are to be segmented with, pixels; None for the usual one.

    Raises:
        InvalidInputError: The side is no multiple of `STEP`, or the network takes one size only.
    """
    if isinstance(trained, TrainedCfs):
        if max_side is not None:
            rule = f"this network takes images of {trained.input_size} x {trained.input_size} pixels only"
            raise InvalidInputError(f"{rule}; leave out --max-side {max_side}")
        return cfs_subject(trained)
    side = MAX_SIDE if max_side is None else max_side
    if side < STEP or side % STEP:
        raise InvalidInputError(f"expected --max-side to be a positive multiple of {STEP}, but got {side}")
    return segmentation_subject(trained, side)


def read_images(folder: Path) -> list[NDArray[np.uint8]]:
    """Reads the first photographs of a folder, by name.

    Raises:
        InvalidInputError: The folder holds none.
    """
    files = sorted(file for file in folder.glob("*") if file.suffix.lower() in IMAGE_SUFFIXES)[:MAX_IMAGES]
    if not files:
        raise InvalidInputError(
            f"the parity check needs photographs, but {folder} holds none; name another folder"
        )
    return [decode(file.read_bytes(), what=str(file)) for file in files]
