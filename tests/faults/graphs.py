"""Bundles whose network of boxes takes its time, and fails on white pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from boxmask_core.bundle import CFS, MANIFEST, Bundle, file_digest
from tests.bundles import write_tiny_bundle
from tests.tiny_networks import cfs_graph

if TYPE_CHECKING:
    from pathlib import Path

_SIDE, _ROUNDS = 640, 3
_WHITE = 255


def write_touchy_bundle(folder: Path) -> Path:
    """Writes a tiny bundle whose run of one box takes tens of milliseconds, and fails on a white crop."""
    bundle = Bundle.load(write_tiny_bundle(folder))
    network = bundle.network(CFS)
    onnx.save(_touchy(cfs_graph()), str(network.file))
    networks = dict(bundle.networks) | {CFS: replace(network, digest=file_digest(network.file))}
    manifest = json.dumps(replace(bundle, networks=networks).to_json())
    (folder / MANIFEST).write_text(manifest, encoding="utf-8")
    return folder


def _touchy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Adds nothing to the answer, but work, and a look-up that has no entry for white."""
    graph = model.graph
    constants = {
        "pixel_axes": np.array([1, 2, 3], dtype=np.int64),
        "nothing_at_all": np.zeros(_WHITE, dtype=np.float32),  # the darkest pixel's value is the index
        "work": np.full((_SIDE, _SIDE), 1 / _SIDE, dtype=np.float32),
        "none": np.float32(0),
        "rows_and_columns": np.array([1, 2], dtype=np.int64),
    }
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
    (last,) = (node for node in graph.node if node.op_type == "Sigmoid")
    graph.node.remove(last)
    products = [
        helper.make_node("MatMul", [f"work_{i}", "work"], [f"work_{i + 1}"], name=f"round_{i}")
        for i in range(_ROUNDS)
    ]
    graph.node.extend(
        [
            helper.make_node("ReduceMin", ["image", "pixel_axes"], ["darkest"], keepdims=0),
            helper.make_node("Cast", ["darkest"], ["darkest_index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["nothing_at_all", "darkest_index"], ["looked_up"]),
            helper.make_node("ReduceMean", ["scaled"], ["brightness"], keepdims=0),
            helper.make_node("Add", ["work", "brightness"], ["work_0"]),
            *products,
            helper.make_node("ReduceMean", [f"work_{_ROUNDS}"], ["worked"], keepdims=0),
            helper.make_node("Mul", ["worked", "none"], ["worked_for_nothing"]),
            helper.make_node("Add", ["looked_up", "worked_for_nothing"], ["offset_each"]),
            helper.make_node("Unsqueeze", ["offset_each", "rows_and_columns"], ["offset"]),
            helper.make_node("Add", ["logit", "offset"], ["logit_after_all"]),
            helper.make_node("Sigmoid", ["logit_after_all"], ["foreground"]),
        ]
    )
    onnx.checker.check_model(model)
    return model
