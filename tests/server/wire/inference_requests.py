"""Requests of the Open Inference Protocol, and what ONNX Runtime alone says to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort

from boxmask.inference import open_inference_pb2 as pb
from tests.tiny_networks import CLASS_NAMES, SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from boxmask_core.bundle import Bundle

Arrays = dict[str, "NDArray[np.uint8] | NDArray[np.float32]"]

DATATYPES = {np.dtype(np.uint8): "UINT8", np.dtype(np.float32): "FP32"}
CONTENTS = {"UINT8": "uint_contents", "FP32": "fp32_contents"}


def cfs_arrays(items: int = 1, seed: int = 0) -> Arrays:
    """Makes crops with a box in the middle and one of the classes each."""
    rng = np.random.default_rng(seed)
    box_mask = np.zeros((items, SIZE, SIZE), np.uint8)
    box_mask[:, SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4] = 1
    return {
        "image": rng.integers(0, 256, (items, SIZE, SIZE, 3), dtype=np.uint8),
        "box_mask": box_mask,
        "label": np.eye(len(CLASS_NAMES), dtype=np.float32)[rng.integers(0, len(CLASS_NAMES), items)],
    }


def lgsa_arrays(items: int = 1, height: int = 64, width: int = 96, seed: int = 0) -> Arrays:
    """Makes pictures."""
    rng = np.random.default_rng(seed)
    return {"image": rng.integers(0, 256, (items, height, width, 3), dtype=np.uint8)}


def infer_request(
    model: str, arrays: Mapping[str, NDArray[np.generic]], *, raw: bool = True, outputs: Sequence[str] = ()
) -> pb.ModelInferRequest:
    """Writes a request."""
    request = pb.ModelInferRequest(model_name=model)
    for name, array in arrays.items():
        datatype = DATATYPES[array.dtype]
        tensor = request.inputs.add(name=name, datatype=datatype, shape=array.shape)
        if raw:
            request.raw_input_contents.append(array.tobytes())
        else:
            getattr(tensor.contents, CONTENTS[datatype]).extend(array.ravel().tolist())
    for name in outputs:
        request.outputs.add(name=name)
    return request


def values_of(response: pb.ModelInferResponse) -> NDArray[np.float32]:
    """Reads the only output of a response."""
    (tensor,) = response.outputs
    (raw,) = response.raw_output_contents
    assert tensor.datatype == "FP32"
    return np.frombuffer(raw, np.float32).reshape(tensor.shape)


def bare(bundle: Bundle, network: str, arrays: Arrays) -> NDArray[np.float32]:
    """Asks ONNX Runtime itself, one item at a time."""
    session = ort.InferenceSession(bundle.network(network).file, providers=["CPUExecutionProvider"])
    items = len(arrays["image"])
    answers = [
        session.run(None, {name: each[i : i + 1] for name, each in arrays.items()}) for i in range(items)
    ]
    return np.concatenate([answer for (answer,) in answers])
