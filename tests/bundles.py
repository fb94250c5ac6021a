"""A real bundle, small enough for tests: the inputs and outputs of both networks over hand-made graphs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import onnx

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
    )
