"""What the Open Inference Protocol says of a network: its tensors, its metadata, its configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from boxmask.inference import model_config_pb2 as config_pb
from boxmask.inference import open_inference_pb2 as pb
from boxmask_core.bundle import AnySize, FixedSize
from boxmask_server.networks.cuda import CPU
from boxmask_server.wire.inference_tensors import FP32, UINT8, VARIABLE, Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from boxmask_server.networks.cfs_engine import CfsEngine
    from boxmask_server.networks.segmentation_engine import SegmentationEngine
    from boxmask_server.work.labeler import Limits

PLATFORM: Final = "onnxruntime_onnx"
BACKEND: Final = "onnxruntime"
PRIORITY_LEVELS: Final = 2
CONFIG_TYPES: Mapping[str, config_pb.DataType.ValueType] = {
    UINT8: config_pb.TYPE_UINT8,
    FP32: config_pb.TYPE_FP32,
}


@dataclass(frozen=True, slots=True)
class Signature:
    """What a network takes and gives.

    Attributes:
        inputs: What goes in.
        output: What comes out.
    """

    inputs: tuple[Tensor, ...]
    output: Tensor


def signature_of(engine: CfsEngine | SegmentationEngine) -> Signature:
    """Returns what a network takes and gives, without the number of items."""
    classes = len(engine.class_names)
    match engine.network.input:
        case FixedSize(side):
            inputs = (
                Tensor("image", UINT8, (side, side, 3)),
                Tensor("box_mask", UINT8, (side, side)),
                Tensor("label", FP32, (classes,)),
            )
            return Signature(inputs, Tensor("foreground", FP32, (side, side)))
        case AnySize(step, max_side):
            stride = engine.network.output_stride
            sides = range(step, max_side + 1, step)
            cells = range(step // stride, max_side // stride + 1, step // stride)
            output = Tensor("scores", FP32, (classes + 1, cells, cells))
            return Signature((Tensor("image", UINT8, (sides, sides, 3)),), output)


def metadata_of(
    name: str, versions: Sequence[str], engine: CfsEngine | SegmentationEngine
) -> pb.ModelMetadataResponse:
    """Describes a network.

    Args:
        name: What the caller calls it.
        versions: Its versions, the latest first.
        engine: What runs it.
    """
    signature = signature_of(engine)
    return pb.ModelMetadataResponse(
        name=name,
        versions=versions,
        platform=PLATFORM,
        inputs=map(_metadata, signature.inputs),
        outputs=[_metadata(signature.output)],
        properties=_properties(engine),
    )


def config_of(name: str, engine: CfsEngine | SegmentationEngine, limits: Limits) -> config_pb.ModelConfig:
    """Describes a network as Triton's configuration would.

    Args:
        name: What the caller calls it.
        engine: What runs it.
        limits: What a request may hold.
    """
    signature = signature_of(engine)
    group = config_pb.ModelInstanceGroup
    return config_pb.ModelConfig(
        name=name,
        platform=PLATFORM,
        backend=BACKEND,
        max_batch_size=limits.max_boxes,
        input=map(_config_input, signature.inputs),
        output=[
            config_pb.ModelOutput(
                name=signature.output.name,
                data_type=CONFIG_TYPES[signature.output.datatype],
                dims=signature.output.dims(),
            )
        ],
        instance_group=[group(count=1, kind=group.KIND_CPU if engine.provider == CPU else group.KIND_GPU)],
        default_model_filename=engine.network.file.name,
        dynamic_batching=config_pb.ModelDynamicBatching(
            priority_levels=PRIORITY_LEVELS,
            default_priority_level=1,
            default_queue_policy=config_pb.ModelQueuePolicy(allow_timeout_override=True),
        ),
    )


def _metadata(tensor: Tensor) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(
        name=tensor.name, datatype=tensor.datatype, shape=(VARIABLE, *tensor.dims())
    )


def _config_input(tensor: Tensor) -> config_pb.ModelInput:
    is_image = len(tensor.sizes) == 3
    return config_pb.ModelInput(
        name=tensor.name,
        data_type=CONFIG_TYPES[tensor.datatype],
        format=config_pb.ModelInput.FORMAT_NHWC if is_image else config_pb.ModelInput.FORMAT_NONE,
        dims=tensor.dims(),
    )


def _properties(engine: CfsEngine | SegmentationEngine) -> dict[str, str]:
    network = engine.network
    properties = {
        "task": network.task,
        "classes": json.dumps(engine.class_names),
        "digest": network.digest,
        "provider": engine.provider,
        "license": network.license,
        "training_data": network.training_data,
        "output_stride": str(network.output_stride),
    }
    if isinstance(network.input, AnySize):
        properties |= {"step": str(network.input.step), "max_side": str(network.input.max_side)}
    return properties
