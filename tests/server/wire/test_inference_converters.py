from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from boxmask.inference import open_inference_pb2 as pb
from boxmask_core.errors import InvalidRequestError
from boxmask_server.wire.inference_converters import (
    cfs_items_of,
    check_outputs,
    lgsa_items_of,
    response_of,
    size_of,
    timeout_of,
    urgency_of,
)
from boxmask_server.wire.inference_descriptions import signature_of
from boxmask_server.work.labeler import Limits
from boxmask_server.work.urgency import Priority
from tests.server.wire.inference_requests import cfs_arrays, infer_request, lgsa_arrays, values_of
from tests.tiny_networks import MAX_SIDE, SIZE, STEP

if TYPE_CHECKING:
    from collections.abc import Callable

    from boxmask_server.networks.cfs_engine import CfsEngine
    from boxmask_server.networks.segmentation_engine import SegmentationEngine

    Spoiling = Callable[[pb.ModelInferRequest], object]

LIMITS = Limits(max_boxes=8, max_pixels=3 * MAX_SIDE * MAX_SIDE)


@pytest.mark.parametrize("raw", [True, False])
def test_the_items_of_a_request_to_cfs_are_its_slices(engine: CfsEngine, raw: bool) -> None:
    arrays = cfs_arrays(3)
    items = cfs_items_of(infer_request("cfs", arrays, raw=raw), engine, LIMITS)
    assert len(items) == 3
    for index, item in enumerate(items):
        np.testing.assert_array_equal(item.pixels, arrays["image"][index])
        np.testing.assert_array_equal(item.box_mask, arrays["box_mask"][index])
        np.testing.assert_array_equal(item.label, arrays["label"][index])
        types = [values.dtype.name for values in (item.pixels, item.box_mask, item.label)]
        assert types == ["uint8", "uint8", "float32"]


@pytest.mark.parametrize("raw", [True, False])
def test_the_items_of_a_request_to_lgsa_are_its_slices(segmentation: SegmentationEngine, raw: bool) -> None:
    arrays = lgsa_arrays(2)
    items = lgsa_items_of(infer_request("lgsa", arrays, raw=raw), segmentation, LIMITS)
    np.testing.assert_array_equal(np.stack(items), arrays["image"])


def test_values_that_come_as_bytes_are_not_copied(segmentation: SegmentationEngine) -> None:
    (item,) = lgsa_items_of(infer_request("lgsa", lgsa_arrays(1)), segmentation, LIMITS)
    assert not item.flags.owndata
    assert not item.flags.writeable


def test_the_size_of_a_request_is_that_of_its_values() -> None:
    assert size_of(pb.ModelInferRequest()) == 0
    assert size_of(infer_request("cfs", cfs_arrays(2))) == 2 * (SIZE * SIZE * 4 + 3 * 4)
    assert size_of(infer_request("cfs", cfs_arrays(2), raw=False)) == 2 * (SIZE * SIZE * 4 + 3) * 4


def test_inputs_may_come_in_any_order(engine: CfsEngine) -> None:
    arrays = cfs_arrays(1)
    turned = dict(reversed(arrays.items()))
    (item,) = cfs_items_of(infer_request("cfs", turned), engine, LIMITS)
    np.testing.assert_array_equal(item.pixels, arrays["image"][0])


def test_whatever_is_not_0_is_inside_the_box(engine: CfsEngine) -> None:
    arrays = cfs_arrays(1)
    painted = arrays | {"box_mask": arrays["box_mask"] * np.uint8(255)}
    (item,) = cfs_items_of(infer_request("cfs", painted), engine, LIMITS)
    np.testing.assert_array_equal(item.box_mask, arrays["box_mask"][0])


def test_a_label_may_be_any_finite_numbers(engine: CfsEngine) -> None:
    arrays = cfs_arrays(1) | {"label": np.array([[0.25, -1.5, 0.0]], np.float32)}
    (item,) = cfs_items_of(infer_request("cfs", arrays), engine, LIMITS)
    assert item.label.tolist() == [0.25, -1.5, 0.0]


def _replace(request: pb.ModelInferRequest, index: int, shape: tuple[int, ...]) -> None:
    del request.inputs[index].shape[:]
    request.inputs[index].shape.extend(shape)


def spoil_shape(*shape: int, index: int = 0) -> Spoiling:
    return lambda request: _replace(request, index, shape)


def spoil_raw(index: int, raw: bytes) -> Spoiling:
    return lambda request: request.raw_input_contents.__setitem__(index, raw)


def spoil_input(index: int, **fields: str) -> Spoiling:
    def spoil(request: pb.ModelInferRequest) -> None:
        for name, value in fields.items():
            setattr(request.inputs[index], name, value)

    return spoil


def _drop(request: pb.ModelInferRequest) -> None:
    del request.inputs[2]
    del request.raw_input_contents[2]


def _double(request: pb.ModelInferRequest) -> None:
    request.inputs.append(request.inputs[0])
    request.raw_input_contents.append(request.raw_input_contents[0])


def _no_items(request: pb.ModelInferRequest) -> None:
    for index, tensor in enumerate(request.inputs):
        tensor.shape[0] = 0
        request.raw_input_contents[index] = b""


def _two_images(request: pb.ModelInferRequest) -> None:
    request.inputs[0].shape[0] = 2
    request.raw_input_contents[0] *= 2


def _nine_items(request: pb.ModelInferRequest) -> None:
    for index, tensor in enumerate(request.inputs):
        tensor.shape[0] = 9
        request.raw_input_contents[index] *= 9


def _shared(request: pb.ModelInferRequest) -> None:
    request.inputs[1].parameters["shared_memory_region"].string_param = "region"


HUGE = 2**62


@pytest.mark.parametrize(
    ("spoil", "field", "told"),
    [
        (
            spoil_input(0, name="picture"),
            "inputs[0].name",
            "one of image, box_mask, label, but got 'picture'",
        ),
        (spoil_input(0, name=""), "inputs[0].name", "but got ''"),
        (spoil_input(2, datatype="FP64"), "inputs[2].datatype", "label is FP32, but got 'FP64'"),
        (spoil_input(0, datatype="INT8"), "inputs[0].datatype", "image is UINT8, but got 'INT8'"),
        (spoil_input(0, datatype=""), "inputs[0].datatype", "but got ''"),
        (spoil_shape(1, SIZE, SIZE), "inputs[0].shape", "the items first, but got [1, 64, 64]"),
        (spoil_shape(), "inputs[0].shape", "but got []"),
        (spoil_shape(1, 3, SIZE, SIZE), "inputs[0].shape", "image is [1 to 8, 64, 64, 3]"),
        (spoil_shape(1, SIZE, SIZE, -3), "inputs[0].shape", "but got [1, 64, 64, -3]"),
        (spoil_shape(-1, SIZE, index=1), "inputs[1].shape", "but got [-1, 64]"),
        (spoil_shape(-1, SIZE, SIZE, 3), "inputs[0].shape", "but got [-1, 64, 64, 3]"),
        (spoil_shape(HUGE, HUGE, HUGE, HUGE), "inputs[0].shape", str(HUGE)),
        (spoil_shape(HUGE, SIZE, SIZE, 3), "inputs[0].shape", str(HUGE)),
        (spoil_raw(1, b""), "raw_input_contents[1]", "takes 4096 bytes, but got 0"),
        (spoil_raw(0, bytes(12289)), "raw_input_contents[0]", "takes 12288 bytes, but got 12289"),
        (spoil_raw(2, struct.pack("<3f", 0, float("nan"), 1)), "inputs[2]", "must be finite"),
        (spoil_raw(2, struct.pack("<3f", 0, float("inf"), 1)), "inputs[2]", "must be finite"),
        (_drop, "inputs", "'label' is missing"),
        (_double, "inputs[3].name", "'image' is given twice"),
        (_no_items, "inputs[0].shape", "[1 to 8, 64, 64, 3], the items first, but got [0, 64, 64, 3]"),
        (_nine_items, "inputs[0].shape", "but got [9, 64, 64, 3]"),
        (_two_images, "inputs[1].shape", "box_mask has 1 items and image 2"),
        (_shared, "inputs[1].parameters['shared_memory_region']", "shared memory"),
        (lambda r: r.raw_input_contents.pop(), "raw_input_contents", "each of the 3 inputs, but got 2"),
        (lambda r: r.raw_input_contents.append(b""), "raw_input_contents", "but got 4"),
        (
            lambda r: r.inputs[1].contents.uint_contents.append(1),
            "inputs[1].contents",
            "must be empty where raw_input_contents is given",
        ),
        (
            lambda r: r.ClearField("raw_input_contents"),
            "inputs[0].contents.uint_contents",
            "takes 12288 values, but got 0",
        ),
        (lambda r: r.ClearField("inputs"), "raw_input_contents", "each of the 0 inputs, but got 3"),
    ],
)
def test_a_request_to_cfs_that_does_not_fit_is_refused_by_its_field(
    engine: CfsEngine, spoil: Spoiling, field: str, told: str
) -> None:
    request = infer_request("cfs", cfs_arrays(1))
    spoil(request)
    with pytest.raises(InvalidRequestError) as caught:
        cfs_items_of(request, engine, LIMITS)
    assert caught.value.field == field
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "field", "told"),
    [
        (
            lambda r: r.inputs[0].contents.uint_contents.__setitem__(7, 256),
            "inputs[0].contents.uint_contents",
            "0 to 255, but got 256",
        ),
        (
            lambda r: r.inputs[0].contents.fp32_contents.append(0),
            "inputs[0].contents",
            "go into uint_contents, but got fp32_contents",
        ),
        (
            lambda r: r.inputs[2].contents.uint_contents.extend([0, 1, 0]),
            "inputs[2].contents",
            "go into fp32_contents, but got uint_contents",
        ),
        (
            lambda r: r.inputs[2].contents.fp32_contents.pop(),
            "inputs[2].contents.fp32_contents",
            "takes 3 values, but got 2",
        ),
        (
            lambda r: r.inputs[2].contents.fp32_contents.__setitem__(0, float("nan")),
            "inputs[2]",
            "must be finite",
        ),
        (lambda r: r.ClearField("inputs"), "inputs", "'image' is missing"),
    ],
)
def test_typed_contents_that_do_not_fit_are_refused_by_their_field(
    engine: CfsEngine, spoil: Spoiling, field: str, told: str
) -> None:
    request = infer_request("cfs", cfs_arrays(1), raw=False)
    spoil(request)
    with pytest.raises(InvalidRequestError) as caught:
        cfs_items_of(request, engine, LIMITS)
    assert caught.value.field == field
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "shape",
    [
        (1, STEP + 1, STEP, 3),
        (1, STEP, MAX_SIDE + STEP, 3),
        (1, 0, STEP, 3),
        (1, -STEP, -STEP, 3),
        (1, STEP, STEP, 4),
        (HUGE, STEP, STEP, 3),
        (1, HUGE, HUGE, 3),
        (9, STEP, STEP, 3),
    ],
)
def test_a_picture_of_a_size_that_the_network_does_not_take_is_refused(
    segmentation: SegmentationEngine, shape: tuple[int, ...]
) -> None:
    request = infer_request("lgsa", lgsa_arrays(1))
    _replace(request, 0, shape)
    with pytest.raises(InvalidRequestError, match=f"a multiple of {STEP} up to {MAX_SIDE}") as caught:
        lgsa_items_of(request, segmentation, LIMITS)
    assert caught.value.field == "inputs[0].shape"


def test_pictures_with_more_pixels_than_the_limit_are_refused(segmentation: SegmentationEngine) -> None:
    within = infer_request("lgsa", lgsa_arrays(3, MAX_SIDE, MAX_SIDE))
    assert len(lgsa_items_of(within, segmentation, LIMITS)) == 3
    beyond = infer_request("lgsa", lgsa_arrays(4, MAX_SIDE, MAX_SIDE))
    with pytest.raises(InvalidRequestError, match="262144 pixels, the limit is 196608") as caught:
        lgsa_items_of(beyond, segmentation, LIMITS)
    assert caught.value.field == "inputs[0].shape"


@pytest.mark.parametrize(
    ("outputs", "field"),
    [
        (["scores"], "outputs[0].name"),
        (["foreground", "foreground"], "outputs[1].name"),
        (["foreground", "x"], "outputs[1].name"),
        ([""], "outputs[0].name"),
    ],
)
def test_outputs_that_the_network_does_not_give_are_refused(
    engine: CfsEngine, outputs: list[str], field: str
) -> None:
    request = infer_request("cfs", {}, outputs=outputs)
    with pytest.raises(InvalidRequestError) as caught:
        check_outputs(request, signature_of(engine).output)
    assert caught.value.field == field


@pytest.mark.parametrize("parameter", ["classification", "shared_memory_region"])
def test_outputs_in_a_form_that_is_not_served_are_refused(engine: CfsEngine, parameter: str) -> None:
    request = infer_request("cfs", {}, outputs=["foreground"])
    request.outputs[0].parameters["binary_data"].bool_param = True
    check_outputs(request, signature_of(engine).output)
    request.outputs[0].parameters[parameter].int64_param = 1
    with pytest.raises(InvalidRequestError) as caught:
        check_outputs(request, signature_of(engine).output)
    assert caught.value.field == f"outputs[0].parameters['{parameter}']"


def _with(name: str, **value: object) -> pb.ModelInferRequest:
    return pb.ModelInferRequest(parameters={name: pb.InferParameter(**value)})  # type: ignore[arg-type]  # any


@pytest.mark.parametrize(
    ("request_", "call", "expected"),
    [
        (pb.ModelInferRequest(), None, None),
        (pb.ModelInferRequest(), 3.0, 3.0),
        (_with("timeout", int64_param=0), 3.0, 3.0),
        (_with("timeout", int64_param=250_000), None, 0.25),
        (_with("timeout", uint64_param=250_000), 3.0, 0.25),
        (_with("timeout", int64_param=9_000_000), 3.0, 3.0),
    ],
)
def test_a_timeout_in_microseconds_shortens_the_deadline(
    request_: pb.ModelInferRequest, call: float | None, expected: float | None
) -> None:
    assert timeout_of(request_, call) == expected


@pytest.mark.parametrize(
    "request_",
    [
        _with("timeout", int64_param=-1),
        _with("timeout", string_param="1"),
        _with("timeout", double_param=0.5),
        _with("timeout"),
    ],
)
def test_a_timeout_that_is_none_is_refused(request_: pb.ModelInferRequest) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        timeout_of(request_, None)
    assert caught.value.field == "parameters['timeout']"


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (pb.ModelInferRequest(), Priority.BULK),
        (_with("priority", uint64_param=0), Priority.BULK),
        (_with("priority", uint64_param=1), Priority.INTERACTIVE),
        (_with("priority", int64_param=2), Priority.BULK),
    ],
)
def test_a_request_says_its_priority_or_gets_that_of_its_method(
    request_: pb.ModelInferRequest, expected: Priority
) -> None:
    urgency = urgency_of(request_, 5.0, Priority.BULK)
    assert urgency.priority is expected
    assert urgency.deadline == pytest.approx(time.monotonic() + 5, abs=1)
    assert urgency_of(request_, None, Priority.BULK).deadline is None


@pytest.mark.parametrize(
    "request_", [_with("priority", int64_param=3), _with("priority", string_param="high")]
)
def test_a_priority_that_there_is_not_is_refused(request_: pb.ModelInferRequest) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        urgency_of(request_, None, Priority.INTERACTIVE)
    assert caught.value.field == "parameters['priority']"


def test_an_answer_holds_the_values_of_all_items_in_order(engine: CfsEngine) -> None:
    values = np.random.default_rng(0).random((3, SIZE, SIZE)).astype(np.float32)
    request = pb.ModelInferRequest(model_name="other.cfs", id="seven")
    response = response_of(request, "4", signature_of(engine).output, list(values))
    assert (response.model_name, response.model_version, response.id) == ("other.cfs", "4", "seven")
    assert [(tensor.name, list(tensor.shape)) for tensor in response.outputs] == [
        ("foreground", [3, SIZE, SIZE])
    ]
    np.testing.assert_array_equal(values_of(response), values)
