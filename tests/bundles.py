"""A real bundle, small enough for tests: CFS's inputs and output over a hand-made graph."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from boxmask_core.bundle import CFS_TASK, MANIFEST, Bundle, Network, file_digest

if TYPE_CHECKING:
    from pathlib import Path

CLASS_NAMES = ("cat", "dog", "person")
SIZE = 64


def write_tiny_bundle(folder: Path) -> Path:
    """Writes a bundle whose network finds what is darker than its surroundings, inside the box.

    The graph has what the real one has: uint8 NHWC in, convolutions of mixed sizes with normalisation
    inside, box mask and class added, a sigmoid out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "cfs.onnx"
    onnx.save(_graph(), str(file))
    network = Network(
        name="cfs",
        task=CFS_TASK,
        file=file,
        digest=file_digest(file),
        input_size=SIZE,
        output_stride=1,
        opset=20,
        weights="float32",
        source_checkpoint="sha256:" + "0" * 64,
        parity_error=0.0,
        rounding_error=0.0,
        license="Apache-2.0",
        training_data="none: made by hand for tests",
    )
    palette = ((0, 0, 0), (64, 0, 0), (64, 0, 128), (192, 128, 128))
    bundle = Bundle(folder, CLASS_NAMES, palette, {"cfs": network})
    (folder / MANIFEST).write_text(json.dumps(bundle.to_json()), encoding="utf-8")
    return folder


def _graph() -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    first = rng.normal(0, 0.2, (8, 4, 5, 5)).astype(np.float32)
    second = rng.normal(0, 0.05, (1, 8, 3, 3)).astype(np.float32)
    label = rng.normal(0, 0.3, (len(CLASS_NAMES), 8)).astype(np.float32)
    constants = {
        "first": first,
        "second": second,
        "label_weight": label,
        "scale": np.float32(1 / 127.5),
        "half": np.float32(0.5),
        "axis1": np.array([1], dtype=np.int64),
        "axes23": np.array([2, 3], dtype=np.int64),
        "pool": np.full((1, 1, 1, 1), -6.0, dtype=np.float32),
        "inside": np.float32(5.0),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["nchw", "scale"], ["scaled"]),
        helper.make_node("Cast", ["box_mask"], ["box_float"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["box_float", "axis1"], ["box"]),
        helper.make_node("Concat", ["scaled", "box"], ["both"], axis=1),
        helper.make_node("Conv", ["both", "first"], ["h0"], pads=[2, 2, 2, 2]),
        helper.make_node("MatMul", ["label", "label_weight"], ["embedded"]),
        helper.make_node("Unsqueeze", ["embedded", "axes23"], ["embedded_map"]),
        helper.make_node("Add", ["h0", "embedded_map"], ["h1"]),
        helper.make_node("Relu", ["h1"], ["h2"]),
        helper.make_node("Conv", ["h2", "second"], ["texture"], pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["scaled", "axis1"], ["grey"], keepdims=1),
        helper.make_node("GlobalAveragePool", ["grey"], ["mean"]),
        helper.make_node("Sub", ["grey", "mean"], ["contrast"]),
        helper.make_node("Mul", ["contrast", "pool"], ["dark"]),
        helper.make_node("Sub", ["box", "half"], ["centred"]),
        helper.make_node("Mul", ["centred", "inside"], ["prior"]),
        helper.make_node("Add", ["dark", "prior"], ["sum0"]),
        helper.make_node("Add", ["sum0", "texture"], ["sum1"]),
        helper.make_node("Squeeze", ["sum1", "axis1"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["foreground"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny_cfs",
        [
            helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIZE, SIZE, 3]),
            helper.make_tensor_value_info("box_mask", TensorProto.UINT8, ["batch", SIZE, SIZE]),
            helper.make_tensor_value_info("label", TensorProto.FLOAT, ["batch", len(CLASS_NAMES)]),
        ],
        [helper.make_tensor_value_info("foreground", TensorProto.FLOAT, ["batch", SIZE, SIZE])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model
