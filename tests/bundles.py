"""A real bundle, small enough for tests: the inputs and outputs of both networks over hand-made graphs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from boxmask_core.bundle import (
    CFS,
    CFS_TASK,
    LGSA,
    MANIFEST,
    SEGMENTATION_TASK,
    AnySize,
    Bundle,
    FixedSize,
    InputSize,
    Network,
    file_digest,
)
from boxmask_core.probes import ProbeAnswer
from tests.tiny_networks import (
    CLASS_NAMES,
    MAX_SIDE,
    OPSET,
    SIZE,
    STEP,
    STRIDE,
    cfs_graph,
    segmentation_graph,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

PALETTE = ((0, 0, 0), (64, 0, 0), (64, 0, 128), (192, 128, 128))


def write_tiny_bundle(folder: Path, networks: Sequence[str] = (CFS, LGSA)) -> Path:
    """Writes a bundle.

    Args:
        folder: Its folder.
        networks: The networks that it holds: ``cfs``, ``lgsa`` or both.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = {name: _write_network(folder, name) for name in networks}
    bundle = Bundle(folder, CLASS_NAMES, PALETTE, written)
    (folder / MANIFEST).write_text(json.dumps(bundle.to_json()), encoding="utf-8")
    return folder


def _write_network(folder: Path, name: str) -> Network:
    if name == CFS:
        return _network(folder / "cfs.onnx", cfs_graph(), CFS, CFS_TASK, FixedSize(SIZE), 1)
    file = folder / "lgsa.onnx"
    return _network(file, segmentation_graph(), LGSA, SEGMENTATION_TASK, AnySize(STEP, MAX_SIDE), STRIDE)


def _network(
    file: Path, graph: onnx.ModelProto, name: str, task: str, size: InputSize, stride: int
) -> Network:
    onnx.save(graph, str(file))
    probe = file.with_name(f"{name}.probe.npz")
    probe.write_bytes(_probe(graph, name).to_bytes())
    return Network(
        name=name,
        task=task,
        file=file,
        digest=file_digest(file),
        input=size,
        output_stride=stride,
        opset=OPSET,
        weights="float32",
        source_checkpoint="sha256:" + "0" * 64,
        parity_error=0.0,
        rounding_error=0.0,
        license="Apache-2.0",
        training_data="none: made by hand for tests",
        probe=probe,
    )


def _probe(graph: onnx.ModelProto, name: str) -> ProbeAnswer:
    """Asks ONNX's own reference evaluator, which knows nothing of ONNX Runtime."""
    evaluator = ReferenceEvaluator(graph)
    feed: dict[str, NDArray[np.generic]]
    if name == CFS:
        picture = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, 3), dtype=np.uint8)
        label = np.eye(1, len(CLASS_NAMES), dtype=np.float32)
        feed = {"image": picture, "box_mask": np.ones((1, SIZE, SIZE), np.uint8), "label": label}
        (foreground,) = cast("Sequence[NDArray[np.float32]]", evaluator.run(None, feed))
        return ProbeAnswer(feed, np.asarray(foreground, np.float32))
    feed = {"image": np.random.default_rng(0).integers(0, 256, (1, STEP, 2 * STEP, 3), dtype=np.uint8)}
    (scores,) = cast("Sequence[NDArray[np.float32]]", evaluator.run(None, feed))
    raised = np.exp(np.asarray(scores, np.float64))
    return ProbeAnswer(feed, (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32))
