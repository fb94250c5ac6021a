"""Putting a network into a bundle: checked before it joins, and whole or not there at all."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from boxmask_core.atomic import write_bytes_atomically
from boxmask_core.bundle import MANIFEST, Bundle, Network, file_digest
from boxmask_core.errors import BundleError
from boxmask_core.palette import voc_palette
from boxmask_core.probes import picture
from boxmask_export.graph import OPSET, write_graph
from boxmask_export.parity import check_parity, check_rounding, probe_answer
from boxmask_export.rounding import halve_weights, rounded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from boxmask_export.subject import Subject

logger = logging.getLogger(__name__)


def export_network(
    subject: Subject,
    target: Path,
    images: Sequence[NDArray[np.uint8]],
    *,
    source: str,
    half_weights: bool = False,
    license_name: str = "Apache-2.0",
    overwrite: bool = False,
) -> tuple[Bundle, Mapping[str, float]]:
    """Exports a network, checks it, and puts it into the bundle only if it holds.

    Args:
        subject: The network.
        target: The bundle's folder; the network joins the bundle that is there.
        images: uint8 RGB images, ``(H, W, 3)``, for the parity check.
        source: Digest of the checkpoint.
        half_weights: Whether weights are stored as float16.
        license_name: SPDX licence of the weights.
        overwrite: Whether the bundle's network of the same name is replaced.

    Returns:
        The bundle, and the parity error of each probe.

    Raises:
        BundleError: The network does not fit into the bundle that is there, or must not replace its own.
        ParityError: The graph does not compute what the network computes, or float16 holds its weights badly.
    """
    other_networks(target, subject, overwrite=overwrite)
    probes = subject.probes(images)
    graph = rounded(subject.graph) if half_weights else subject.graph
    rounding_error = 0.0
    if half_weights:
        rounding_error = check_rounding(subject.graph, graph, probes, limit=subject.rounding_limit)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as stage:
        file = Path(stage) / f"{subject.name}.onnx"
        write_graph(graph, file)
        if half_weights:
            halve_weights(file)
        errors = check_parity(graph, file, probes)
        probe = Path(stage) / f"{subject.name}.probe.npz"
        probe.write_bytes(probe_answer(graph, subject.probes([picture()])[0].feeds[-1]).to_bytes())
        network = Network(
            name=subject.name,
            task=subject.task,
            file=file,
            digest=file_digest(file),
            input=subject.input,
            output_stride=subject.output_stride,
            opset=OPSET,
            weights="float16" if half_weights else "float32",
            source_checkpoint=source,
            parity_error=max(errors.values()),
            rounding_error=rounding_error,
            license=license_name,
            training_data=subject.training_data,
            probe=probe,
        )
        others = other_networks(target, subject, overwrite=overwrite)  # the export took a minute
        put_in_place(network, subject.class_names, others, target)
    return Bundle.load(target), errors


def other_networks(target: Path, subject: Subject, *, overwrite: bool) -> Mapping[str, Network]:
    """Returns the networks of the bundle that is there which stay in it.

    Args:
        target: The bundle's folder.
        subject: The network that joins them.
        overwrite: Whether it may replace its own, or a bundle that cannot be read.

    Raises:
        BundleError: The bundle cannot be read, holds the network already, or is for other classes.
    """
    if not (target / MANIFEST).exists():
        return {}
    try:
        bundle = Bundle.load(target)
    except BundleError as error:
        if not overwrite:
            problem = f"there is one already, and it cannot be read ({error})"
            raise BundleError(target, f"{problem}; choose another folder or pass --overwrite") from error
        logger.warning("replacing all of a bundle that cannot be read: %s", error)
        return {}
    if subject.name in bundle.networks and not overwrite:
        problem = f"there is a network {subject.name!r} already"
        raise BundleError(target, f"{problem}; choose another folder or pass --overwrite")
    others = {name: network for name, network in bundle.networks.items() if name != subject.name}
    if others and bundle.class_names != subject.class_names:
        problem = (
            f"its network {', '.join(others)} is for the classes {', '.join(bundle.class_names)}, "
            f"but the checkpoint is for {', '.join(subject.class_names)}"
        )
        raise BundleError(target, f"{problem}; choose another folder")
    return others


def put_in_place(
    network: Network, class_names: Sequence[str], others: Mapping[str, Network], target: Path
) -> None:
    """Moves a network into its bundle, the manifest last.

    Until the manifest is there, a bundle that was there is the one that it was, or, where a network is
    replaced, one whose digest does not fit, which no reader takes. Files that are no part of the bundle, a
    model card for example, stay.

    Args:
        network: The network, its file somewhere else.
        class_names: The classes of the bundle.
        others: The bundle's other networks.
        target: The bundle's folder.
    """
    target.mkdir(exist_ok=True)
    placed = replace(network, file=_moved(network.file, target))
    if network.probe is not None:
        placed = replace(placed, probe=_moved(network.probe, target))
    colours = [(int(r), int(g), int(b)) for r, g, b in voc_palette()]
    palette = tuple(colours[: len(class_names) + 1])
    bundle = Bundle(target, tuple(class_names), palette, {**others, network.name: placed})
    content = json.dumps(bundle.to_json(), indent=2) + "\n"
    write_bytes_atomically(target / MANIFEST, content.encode())


def _moved(file: Path, folder: Path) -> Path:
    return Path(shutil.move(file, folder / file.name))
