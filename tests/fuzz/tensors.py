"""Fuzzing the border of the Open Inference Protocol: messages to tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError
from hypothesis import strategies as st

from boxmask.inference import open_inference_pb2 as pb
from boxmask_core.errors import InvalidRequestError
from boxmask_server.wire.inference_converters import check_outputs, size_of, timeout_of, urgency_of
from boxmask_server.wire.inference_tensors import DTYPES, FP32, UINT8, Tensor, tensors_of
from boxmask_server.work.urgency import Priority
from tests.fuzz.damage import damaged
from tests.fuzz.target import Target

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

MAX_ITEMS = 4
EXPECTED = (
    Tensor("image", UINT8, (range(2, 9, 2), 2, 3)),
    Tensor("label", FP32, (3,)),
)
"""What a small network of both kinds would take."""
OUTPUT = Tensor("scores", FP32, (3,))

_numbers = st.one_of(st.integers(0, 4), st.integers(-(1 << 63), (1 << 63) - 1))
_parameters: SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(("timeout", "priority", "shared_memory_region", "classification", "other")),
    st.one_of(
        st.builds(pb.InferParameter, int64_param=_numbers),
        st.builds(pb.InferParameter, uint64_param=st.integers(0, (1 << 64) - 1)),
        st.builds(pb.InferParameter, string_param=st.text(max_size=5)),
        st.builds(pb.InferParameter, double_param=st.floats()),
        st.builds(pb.InferParameter),
    ),
    max_size=2,
)
_contents = st.one_of(
    st.builds(pb.InferTensorContents),
    st.builds(pb.InferTensorContents, uint_contents=st.lists(st.integers(0, 300), max_size=24)),
    st.builds(pb.InferTensorContents, fp32_contents=st.lists(st.floats(width=32), max_size=6)),
    st.builds(pb.InferTensorContents, int64_contents=st.lists(_numbers, max_size=3)),
    st.builds(pb.InferTensorContents, bytes_contents=st.lists(st.binary(max_size=3), max_size=3)),
)
_inputs = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=st.sampled_from(("image", "image", "label", "label", "", "other")),
    datatype=st.sampled_from((UINT8, FP32, "INT64", "")),
    shape=st.one_of(
        st.sampled_from(((1, 2, 2, 3), (2, 4, 2, 3), (1, 3), (2, 3))), st.lists(_numbers, max_size=5)
    ),
    parameters=_parameters,
    contents=_contents,
)
_requests = st.builds(
    pb.ModelInferRequest,
    model_name=st.text(max_size=5),
    parameters=_parameters,
    inputs=st.lists(_inputs, max_size=3),
    outputs=st.lists(
        st.builds(
            pb.ModelInferRequest.InferRequestedOutputTensor,
            name=st.sampled_from(("scores", "other")),
            parameters=_parameters,
        ),
        max_size=2,
    ),
    raw_input_contents=st.lists(st.one_of(st.binary(max_size=30), st.just(bytes(12))), max_size=3),
)


def _whole_requests() -> tuple[bytes, ...]:
    inputs = [
        pb.ModelInferRequest.InferInputTensor(name="image", datatype=UINT8, shape=(1, 2, 2, 3)),
        pb.ModelInferRequest.InferInputTensor(name="label", datatype=FP32, shape=(1, 3)),
    ]
    raw = pb.ModelInferRequest(inputs=inputs, raw_input_contents=[bytes(12), bytes(12)])
    raw.parameters["timeout"].int64_param = 1000
    raw.parameters["priority"].uint64_param = 2
    typed = pb.ModelInferRequest(inputs=inputs)
    typed.inputs[0].contents.uint_contents.extend(range(12))
    typed.inputs[1].contents.fp32_contents.extend((0.0, 1.0, 0.5))
    return raw.SerializeToString(), typed.SerializeToString()


def _tensors_read(data: bytes) -> None:
    request = pb.ModelInferRequest()
    try:
        request.ParseFromString(data)
    except DecodeError as error:  # gRPC answers it by itself
        raise InvalidRequestError("message", "it cannot be read") from error
    assert size_of(request) >= 0
    seconds = timeout_of(request, None)
    assert seconds is None or seconds > 0
    urgency_of(request, seconds, Priority.BULK)
    check_outputs(request, OUTPUT)
    given = tensors_of(request, EXPECTED, MAX_ITEMS)
    for tensor in EXPECTED:
        values = given[tensor.name].values
        assert 1 <= len(values) <= MAX_ITEMS
        assert values.dtype == DTYPES[tensor.datatype]
        assert values.ndim == 1 + len(tensor.sizes)


TARGETS = (
    Target(
        "ModelInferRequest, any fields", _requests.map(pb.ModelInferRequest.SerializeToString), _tensors_read
    ),
    Target("ModelInferRequest, any bytes", damaged(_whole_requests()), _tensors_read),
)
