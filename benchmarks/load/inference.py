"""Requests and answers of the Open Inference Protocol, their tensors as raw bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.load.plan import Call
from boxmask.inference import open_inference_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

MODEL_INFER: Final = "/inference.GRPCInferenceService/ModelInfer"
DATATYPES: Final = {"uint8": "UINT8", "float32": "FP32"}


def infer_call(model: str, tensors: Mapping[str, NDArray[np.generic]]) -> Call:
    """Asks a network of a server.

    Args:
        model: Its name.
        tensors: Its inputs by name, batch first, uint8 or float32.
    """
    request = pb.ModelInferRequest(
        model_name=model,
        inputs=[
            pb.ModelInferRequest.InferInputTensor(
                name=name, datatype=DATATYPES[tensor.dtype.name], shape=tensor.shape
            )
            for name, tensor in tensors.items()
        ],
        raw_input_contents=[tensor.tobytes() for tensor in tensors.values()],
    )
    return Call(MODEL_INFER, request.SerializeToString())


def tensors_of(call: Call) -> tuple[str, dict[str, NDArray[np.generic]]]:
    """Returns what `infer_call` was given."""
    request = pb.ModelInferRequest.FromString(call.payload)
    found = zip(request.inputs, request.raw_input_contents, strict=True)
    return request.model_name, {each.name: _array(raw, each.datatype, each.shape) for each, raw in found}


def answered_tensors(payload: bytes) -> dict[str, NDArray[np.generic]]:
    """Returns the outputs by name of a serialized answer."""
    response = pb.ModelInferResponse.FromString(payload)
    if not response.raw_output_contents:
        return {
            each.name: np.array(each.contents.fp32_contents, np.float32).reshape(each.shape)
            for each in response.outputs
        }
    found = zip(response.outputs, response.raw_output_contents, strict=True)
    return {each.name: _array(raw, each.datatype, each.shape) for each, raw in found}


def _array(raw: bytes, datatype: str, shape: Iterable[int]) -> NDArray[np.generic]:
    name = next(name for name, known in DATATYPES.items() if known == datatype)
    return np.frombuffer(raw, name).reshape(tuple(shape))
