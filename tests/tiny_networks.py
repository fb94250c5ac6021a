"""Hand-made graphs with the inputs and outputs of the real networks, small enough for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Mapping

CLASS_NAMES = ("cat", "dog", "person")
SIZE = 64
"""Side of the input of CFS."""
STEP, MAX_SIDE, STRIDE = 32, 256, 8
"""Of the segmentation network."""
OPSET = 20


def cfs_graph() -> onnx.ModelProto:
    """Returns a graph that finds what is darker than its surroundings, inside the box.

    It has what the real one has: uint8 NHWC in, convolutions of mixed sizes with normalisation inside, box
    mask and class added, a sigmoid out.
    """
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
        _initializers(constants),
    )
    return _model(graph)


def segmentation_graph() -> onnx.ModelProto:
    """Returns a graph that tells classes by their colour.

    It has what the real one has: uint8 NHWC of any size in, the stride, a convolution that looks around, and
    scores that depend on all of the canvas, as attention makes them: a cell sees the canvas's mean colour.
    """
    rng = np.random.default_rng(1)
    shape = [len(CLASS_NAMES) + 1, 3, 3, 3]
    constants = {
        "scale": np.float32(1 / 32),
        "weight": rng.normal(0, 0.7, shape).astype(np.float32),
        "bias": rng.normal(0, 0.5, shape[0]).astype(np.float32),
        "share": np.float32(0.8),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["nchw", "scale"], ["scaled"]),
        helper.make_node(
            "AveragePool", ["scaled"], ["cells"], kernel_shape=[STRIDE, STRIDE], strides=[STRIDE, STRIDE]
        ),
        helper.make_node("GlobalAveragePool", ["cells"], ["mean"]),
        helper.make_node("Mul", ["mean", "share"], ["mean_share"]),
        helper.make_node("Sub", ["cells", "mean_share"], ["contrast"]),
        helper.make_node("Conv", ["contrast", "weight", "bias"], ["scores"], pads=[1, 1, 1, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny_segmentation",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", "height", "width", 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", shape[0], "rows", "columns"])],
        _initializers(constants),
    )
    return _model(graph)


def _initializers(constants: Mapping[str, object]) -> list[TensorProto]:
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model)
    return model
