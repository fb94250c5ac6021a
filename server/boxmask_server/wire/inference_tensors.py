"""Tensors of the Open Inference Protocol: how they are described, checked and read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from boxmask_core.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from boxmask.inference import open_inference_pb2 as pb

UINT8: Final = "UINT8"
FP32: Final = "FP32"
DTYPES: Mapping[str, np.dtype[Any]] = {UINT8: np.dtype(np.uint8), FP32: np.dtype("<f4")}
CONTENTS: Mapping[str, str] = {UINT8: "uint_contents", FP32: "fp32_contents"}
"""The field of InferTensorContents that holds values of a type."""
VARIABLE: Final = -1
"""How the protocol writes a size that may vary."""
SHARED_MEMORY: Final = "shared_memory_region"
"""The parameter by which a client of Triton's says that a tensor is elsewhere."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a network takes or gives.

    Attributes:
        name: Its name.
        datatype: `UINT8` or `FP32`.
        sizes: Its shape without the number of items; a range holds all that a size may be.
    """

    name: str
    datatype: str
    sizes: tuple[int | range, ...]

    def dims(self) -> list[int]:
        """Returns its shape without the number of items, as the protocol writes it."""
        return [VARIABLE if isinstance(size, range) else size for size in self.sizes]


class Given(NamedTuple):
    """A tensor that came.

    Attributes:
        field: Where in the request it stands.
        values: Its values, ``(items, ...)``; read-only where they came as bytes.
    """

    field: str
    values: NDArray[Any]


def tensors_of(request: pb.ModelInferRequest, expected: Sequence[Tensor], max_items: int) -> dict[str, Given]:
    """Reads the inputs of a request. Bytes are not copied.

    Args:
        request: The request.
        expected: What the network takes.
        max_items: Items that a request may hold.

    Raises:
        InvalidRequestError: An input is missing, unknown, given twice, or of another type or shape, or its
            values do not fit its shape.
    """
    known = {tensor.name: tensor for tensor in expected}
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        problem = f"expected one entry for each of the {len(request.inputs)} inputs, but got {len(raw)}"
        raise InvalidRequestError("raw_input_contents", f"{problem}; leave it empty, or give them all")
    found: dict[str, Given] = {}
    for index, message in enumerate(request.inputs):
        field = f"inputs[{index}]"
        if message.name not in known:
            names = ", ".join(known)
            raise InvalidRequestError(f"{field}.name", f"expected one of {names}, but got {message.name!r}")
        if message.name in found:
            raise InvalidRequestError(f"{field}.name", f"{message.name!r} is given twice; give it once")
        refuse_shared_memory(field, message.parameters)
        shape = _checked_shape(field, message, known[message.name], max_items)
        values = _of_bytes(index, message, raw[index], shape) if raw else _of_contents(field, message, shape)
        found[message.name] = Given(field, values)
    if missing := [name for name in known if name not in found]:
        raise InvalidRequestError("inputs", f"{missing[0]!r} is missing; give {', '.join(known)}")
    _check_one_count(found)
    return found


def refuse_shared_memory(field: str, parameters: Mapping[str, pb.InferParameter]) -> None:
    """Refuses a tensor whose values lie elsewhere, or are to be written there.

    Raises:
        InvalidRequestError: It is one.
    """
    if SHARED_MEMORY in parameters:
        problem = "tensors in shared memory are not served; send and receive the values themselves"
        raise InvalidRequestError(f"{field}.parameters['{SHARED_MEMORY}']", problem)


def _checked_shape(
    field: str, message: pb.ModelInferRequest.InferInputTensor, tensor: Tensor, max_items: int
) -> tuple[int, ...]:
    if message.datatype != tensor.datatype:
        problem = f"{tensor.name} is {tensor.datatype}, but got {message.datatype!r}"
        raise InvalidRequestError(f"{field}.datatype", problem)
    shape = tuple(message.shape)
    allowed = (range(1, max_items + 1), *tensor.sizes)
    if len(shape) != len(allowed) or not all(map(_fits, shape, allowed)):
        described = ", ".join(map(_described, allowed))
        problem = f"{tensor.name} is [{described}], the items first, but got {list(shape)}"
        raise InvalidRequestError(f"{field}.shape", problem)
    return shape


def _fits(size: int, allowed: int | range) -> bool:
    return size in allowed if isinstance(allowed, range) else size == allowed


def _described(allowed: int | range) -> str:
    match allowed:
        case range(start=1, stop=stop, step=1):
            return f"1 to {stop - 1}"
        case range(step=step):
            return f"a multiple of {step} up to {allowed[-1]}"
    return str(allowed)


def _of_bytes(
    index: int, message: pb.ModelInferRequest.InferInputTensor, raw: bytes, shape: tuple[int, ...]
) -> NDArray[Any]:
    if message.contents.ByteSize():
        problem = "it must be empty where raw_input_contents is given; leave out one of them"
        raise InvalidRequestError(f"inputs[{index}].contents", problem)
    dtype = DTYPES[message.datatype]
    needed = math.prod(shape) * dtype.itemsize
    if len(raw) != needed:
        problem = f"{message.name} of shape {list(shape)} takes {needed} bytes, but got {len(raw)}"
        raise InvalidRequestError(f"raw_input_contents[{index}]", problem)
    return np.frombuffer(raw, dtype=dtype).reshape(shape)


def _of_contents(
    field: str, message: pb.ModelInferRequest.InferInputTensor, shape: tuple[int, ...]
) -> NDArray[Any]:
    used = [descriptor.name for descriptor, _ in message.contents.ListFields()]
    name = CONTENTS[message.datatype]
    if others := [each for each in used if each != name]:
        problem = f"values of {message.datatype} go into {name}, but got {others[0]}"
        raise InvalidRequestError(f"{field}.contents", problem)
    contents = getattr(message.contents, name)
    needed = math.prod(shape)
    if len(contents) != needed:
        problem = f"{message.name} of shape {list(shape)} takes {needed} values, but got {len(contents)}"
        raise InvalidRequestError(f"{field}.contents.{name}", problem)
    values = np.array(contents)
    if message.datatype == UINT8 and values.max() > np.iinfo(np.uint8).max:
        problem = f"values of {UINT8} are 0 to 255, but got {values.max()}"
        raise InvalidRequestError(f"{field}.contents.{name}", problem)
    return values.astype(DTYPES[message.datatype]).reshape(shape)


def _check_one_count(found: Mapping[str, Given]) -> None:
    first, *others = found.items()
    for name, given in others:
        if len(given.values) != len(first[1].values):
            problem = f"{name} has {len(given.values)} items and {first[0]} {len(first[1].values)}"
            raise InvalidRequestError(f"{given.field}.shape", f"{problem}; give every input as many")
