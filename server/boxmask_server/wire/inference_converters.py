"""The border of ModelInfer: messages of the Open Inference Protocol to what the networks take, and back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import numpy as np

from boxmask.inference import open_inference_pb2 as pb
from boxmask_core.errors import InvalidRequestError
from boxmask_server.networks.cfs_engine import CfsEngine, CfsInput
from boxmask_server.wire.inference_descriptions import signature_of
from boxmask_server.wire.inference_tensors import Tensor, refuse_shared_memory, tensors_of
from boxmask_server.work.urgency import Priority, Urgency

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from boxmask_server.networks.segmentation_engine import SegmentationEngine
    from boxmask_server.work.labeler import Limits

PRIORITIES: Mapping[int, Priority] = {1: Priority.INTERACTIVE, 2: Priority.BULK}
BYTES_A_VALUE: Final = 4
"""Of the typed contents that are read: unsigned integers and floats."""


def cfs_items_of(request: pb.ModelInferRequest, engine: CfsEngine, limits: Limits) -> list[CfsInput]:
    """Reads the items of a request to CFS. Call it in the host pool.

    Raises:
        InvalidRequestError: They are not what the network takes.
    """
    given = tensors_of(request, signature_of(engine).inputs, limits.max_boxes)
    label = given["label"]
    if not np.isfinite(label.values).all():
        raise InvalidRequestError(label.field, "the values of label must be finite, but some are not")
    box_masks = (given["box_mask"].values != 0).view(np.uint8)
    pairs = zip(given["image"].values, box_masks, label.values, strict=True)
    return [CfsInput(pixels, box_mask, values) for pixels, box_mask, values in pairs]


def lgsa_items_of(
    request: pb.ModelInferRequest, engine: SegmentationEngine, limits: Limits
) -> list[NDArray[np.uint8]]:
    """Reads the items of a request to the segmentation network. Call it in the host pool.

    Raises:
        InvalidRequestError: They are not what the network takes, or have more pixels than the limit.
    """
    image = tensors_of(request, signature_of(engine).inputs, limits.max_boxes)["image"]
    items, height, width, _ = image.values.shape
    if items * height * width > limits.max_pixels:
        problem = f"the items have {items * height * width} pixels, the limit is {limits.max_pixels}"
        raise InvalidRequestError(f"{image.field}.shape", f"{problem}; split them, or raise --max-pixels")
    return list(image.values)


def size_of(request: pb.ModelInferRequest) -> int:
    """Returns the bytes that the values of a request take."""
    typed = (field for tensor in request.inputs for _, field in tensor.contents.ListFields())
    return sum(map(len, request.raw_input_contents)) + sum(BYTES_A_VALUE * len(field) for field in typed)


def check_outputs(request: pb.ModelInferRequest, output: Tensor) -> None:
    """Checks what is asked for.

    Raises:
        InvalidRequestError: The network does not give it, it is asked for twice, or in a form that is
            not served.
    """
    for index, message in enumerate(request.outputs):
        field = f"outputs[{index}]"
        if message.name != output.name:
            raise InvalidRequestError(f"{field}.name", f"expected {output.name!r}, but got {message.name!r}")
        if index:
            raise InvalidRequestError(f"{field}.name", f"{output.name!r} is asked for twice; ask once")
        refuse_shared_memory(field, message.parameters)
        if "classification" in message.parameters:
            problem = "the best classes are not picked out here; ask for the values"
            raise InvalidRequestError(f"{field}.parameters['classification']", problem)


def timeout_of(request: pb.ModelInferRequest, seconds: float | None) -> float | None:
    """Returns the seconds until an answer is wanted: those of the call, or fewer if the request says so.

    Raises:
        InvalidRequestError: The timeout is no number of microseconds.
    """
    microseconds = _whole(request, "timeout")
    if microseconds < 0:
        problem = f"expected microseconds, 0 for no timeout, but got {microseconds}"
        raise InvalidRequestError("parameters['timeout']", problem)
    if microseconds == 0:
        return seconds
    asked = microseconds / 1e6
    return asked if seconds is None else min(asked, seconds)


def urgency_of(request: pb.ModelInferRequest, seconds: float | None, otherwise: Priority) -> Urgency:
    """Returns how urgent a request is.

    Args:
        request: The request.
        seconds: The time until an answer is wanted.
        otherwise: The priority of a request that says none.

    Raises:
        InvalidRequestError: There is no such priority.
    """
    level = _whole(request, "priority")
    if level and level not in PRIORITIES:
        problem = f"expected 1 (interactive), 2 (bulk) or 0 (the server chooses), but got {level}"
        raise InvalidRequestError("parameters['priority']", problem)
    deadline = None if seconds is None else time.monotonic() + seconds
    return Urgency(PRIORITIES.get(level, otherwise), deadline)


def response_of(
    request: pb.ModelInferRequest, version: str, output: Tensor, values: Sequence[NDArray[np.float32]]
) -> pb.ModelInferResponse:
    """Writes what came out. Call it in the host pool.

    Args:
        request: The request.
        version: The version that answered.
        output: What the values are.
        values: The values of every item, in the request's order.
    """
    tensor = pb.ModelInferResponse.InferOutputTensor(
        name=output.name, datatype=output.datatype, shape=(len(values), *values[0].shape)
    )
    raw = b"".join(np.ascontiguousarray(each, dtype="<f4").data for each in values)
    return pb.ModelInferResponse(
        model_name=request.model_name,
        model_version=version,
        id=request.id,
        outputs=[tensor],
        raw_output_contents=[raw],
    )


def _whole(request: pb.ModelInferRequest, key: str) -> int:
    """Returns a parameter that is a whole number; 0 where it is not given."""
    if key not in request.parameters:
        return 0
    parameter = request.parameters[key]
    match parameter.WhichOneof("parameter_choice"):
        case "int64_param":
            return parameter.int64_param
        case "uint64_param":
            return parameter.uint64_param
    raise InvalidRequestError(f"parameters['{key}']", "expected a whole number: int64_param or uint64_param")
