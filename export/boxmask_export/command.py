"""The command ``boxmask export``: a checkpoint becomes a bundle."""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from boxmask_core.bundle import CFS_TASK, MANIFEST, Bundle, Network, file_digest
from boxmask_core.errors import BundleError, InvalidInputError
from boxmask_core.images import decode
from boxmask_core.palette import voc_palette
from boxmask_export.graph import OPSET, export_graph
from boxmask_export.parity import PARITY_LIMIT, ROUNDING_LIMIT, Parity, check_parity, check_rounding
from boxmask_export.rounding import halve_weights, rounded
from boxmask_training.checkpoint import TrainedCfs, load_cfs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

GRAPH_FILE = "cfs.onnx"
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
MAX_IMAGES = 10


def parser() -> argparse.ArgumentParser:
    """Builds the command line."""
    out = argparse.ArgumentParser(
        prog="boxmask export",
        description="Turn a training checkpoint into an ONNX bundle. The graph is compared with the network "
        f"on crops of real images; above {PARITY_LIMIT:.0e} nothing is written.",
    )
    out.add_argument("checkpoint", type=Path, help="what `boxmask train` printed")
    out.add_argument(
        "bundle", type=Path, help="folder to write; it must not hold a bundle, unless --overwrite"
    )
    out.add_argument("--images", type=Path, required=True, help="folder of photographs for the parity check")
    out.add_argument(
        "--half-weights",
        action="store_true",
        help="store weights as float16: half the file; "
        f"what that changes is measured too, and above {ROUNDING_LIMIT:.0e} nothing is written",
    )
    out.add_argument("--license", default="Apache-2.0", help="SPDX licence of the weights")
    out.add_argument("--overwrite", action="store_true", help="replace a bundle that is there")
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
    target: Path = arguments.bundle
    if (target / MANIFEST).exists() and not arguments.overwrite:
        raise BundleError(target, "there is a bundle already; choose another folder or pass --overwrite")
    images = read_images(arguments.images)
    trained = load_cfs(arguments.checkpoint)
    bundle, parity = export_cfs(
        trained,
        target,
        images,
        source=file_digest(arguments.checkpoint),
        half_weights=arguments.half_weights,
        license_name=arguments.license,
    )
    for batch, error in parity.errors.items():
        sys.stdout.write(
            f"parity at batch {batch}: {error:.2e} (limit {PARITY_LIMIT:.0e}, {parity.crops} crops)\n"
        )
    network = bundle.network("cfs")
    if arguments.half_weights:
        sys.stdout.write(
            f"rounding of the weights: {network.rounding_error:.2e} (limit {ROUNDING_LIMIT:.0e})\n"
        )
    size = network.file.stat().st_size / 1e6
    sys.stdout.write(f"{target}: {GRAPH_FILE}, {size:.1f} MB, {len(bundle.class_names)} classes\n")
    return 0


def export_cfs(
    trained: TrainedCfs,
    target: Path,
    images: Sequence[NDArray[np.uint8]],
    *,
    source: str,
    half_weights: bool = False,
    license_name: str = "Apache-2.0",
) -> tuple[Bundle, Parity]:
    """Exports a network, checks it, and puts the bundle in place only if it holds.

    Args:
        trained: The network.
        target: The bundle's folder.
        images: uint8 RGB images, ``(H, W, 3)``, for the parity check.
        source: Digest of the checkpoint.
        half_weights: Whether weights are stored as float16.
        license_name: SPDX licence of the weights.

    Raises:
        ParityError: The graph does not compute what the network computes, or float16 holds its weights badly.
    """
    exported = rounded(trained) if half_weights else trained
    rounding_error = check_rounding(trained, exported, images) if half_weights else 0.0
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
        stage = Path(folder)
        file = stage / GRAPH_FILE
        export_graph(exported.network, len(trained.class_names), trained.input_size, file)
        if half_weights:
            halve_weights(file)
        parity = check_parity(exported, file, images)
        network = Network(
            name="cfs",
            task=CFS_TASK,
            file=file,
            digest=file_digest(file),
            input_size=trained.input_size,
            output_stride=1,
            opset=OPSET,
            weights="float16" if half_weights else "float32",
            source_checkpoint=source,
            parity_error=parity.worst,
            rounding_error=rounding_error,
            license=license_name,
            training_data=trained.training_data,
        )
        red_green_blue = [(int(r), int(g), int(b)) for r, g, b in voc_palette()]
        palette = tuple(red_green_blue[: len(trained.class_names) + 1])
        manifest = Bundle(stage, trained.class_names, palette, {"cfs": network}).to_json()
        (stage / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        put_in_place(stage, target)
    return Bundle.load(target), parity


def put_in_place(stage: Path, target: Path) -> None:
    """Moves the bundle's files into the target, the manifest last: without it there is no bundle.

    Files that are no part of the bundle, a model card for example, stay.
    """
    target.mkdir(exist_ok=True)
    (target / MANIFEST).unlink(missing_ok=True)
    for name in (GRAPH_FILE, MANIFEST):
        shutil.move(stage / name, target / name)


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
