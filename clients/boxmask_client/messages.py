"""Between the wire's messages and the client's dataclasses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from boxmask.v1 import labeling_pb2 as pb
from boxmask_client.answers import Answer, Limits, Model, Timings
from boxmask_client.errors import InternalError
from boxmask_core.boxes import Window
from boxmask_core.bundle import AnySize, FixedSize
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.instances import InstanceMask
from boxmask_core.palette import decode_indexed_png
from boxmask_core.quality import Signals
from boxmask_core.rle import decode_rle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxmask_client.questions import Method, Priority, Question
    from boxmask_core.bundle import InputSize
    from boxmask_core.instances import Instance

METHODS: Final[dict[Method, pb.Method.ValueType]] = {
    "box": pb.METHOD_BOX,
    "grabcut": pb.METHOD_GRABCUT,
    "cfs": pb.METHOD_CFS,
}
PRIORITIES: Final[dict[Priority | None, pb.Priority.ValueType]] = {
    None: pb.PRIORITY_UNSPECIFIED,
    "interactive": pb.PRIORITY_INTERACTIVE,
    "bulk": pb.PRIORITY_BULK,
}
FALLBACKS: Final[dict[int, Fallback]] = {
    pb.Fallback.Value(f"FALLBACK_{rung.name}"): rung for rung in Fallback
}


def to_request(question: Question) -> pb.PseudoLabelRequest:
    """Returns the message of a question.

    Raises:
        OSError: Its image file cannot be read.
        InvalidImageError: Its array is not uint8 RGB.
    """
    return pb.PseudoLabelRequest(
        image=question.encoded_image(),
        instances=[_instance(instance) for instance in question.instances],
        method=METHODS[question.method],
        refinement=pb.REFINEMENT_GRABCUT if question.refine else pb.REFINEMENT_NONE,
        mask_encoding=pb.MASK_ENCODING_COCO_RLE,
        class_names=question.class_names,
        omit_label_map=not question.label_map,
        priority=PRIORITIES[question.priority],
        bundle=question.bundle,
        version=question.version,
    )


def to_answer(response: pb.PseudoLabelResponse, instances: Sequence[Instance]) -> Answer:
    """Returns the answer in a message.

    Args:
        response: The message.
        instances: The instances that were asked about.

    Raises:
        InternalError: The message does not answer the question.
    """
    if len(response.masks) != len(instances):
        raise malformed(f"expected {len(instances)} masks, but got {len(response.masks)}")
    masks = tuple(_mask(mask, instance) for mask, instance in zip(response.masks, instances, strict=True))
    label_map = decode_indexed_png(response.label_map_png) if response.label_map_png else None
    return Answer(
        width=response.width,
        height=response.height,
        masks=masks,
        label_map=label_map,
        class_names=tuple(response.class_names),
        timings=to_timings(response.timings),
        model_digest=response.model_digest,
        bundle=response.bundle,
        version=response.version,
    )


def to_model(model: pb.Model) -> Model:
    """Returns the network that a message describes.

    Raises:
        InternalError: The message does not say which sizes the network takes.
    """
    limits = model.limits
    return Model(
        name=model.name,
        task=model.task,
        class_names=tuple(model.class_names),
        input=_input_size(model),
        output_stride=model.output_stride,
        digest=model.digest,
        provider=model.provider,
        license=model.license,
        training_data=model.training_data,
        parity_error=model.parity_error,
        limits=Limits(
            limits.max_bytes,
            limits.max_pixels,
            limits.max_boxes,
            limits.stream_window,
            limits.max_message_bytes,
        ),
        bundle=model.bundle,
        version=model.version,
    )


def to_timings(timings: pb.Timings) -> Timings:
    """Returns the times in a message."""
    return Timings(
        decode_ms=timings.decode_ms,
        crop_ms=timings.crop_ms,
        network_ms=timings.network_ms,
        inference_ms=timings.inference_ms,
        refine_ms=timings.refine_ms,
        encode_ms=timings.encode_ms,
        total_ms=timings.total_ms,
        queue_ms=timings.queue_ms,
    )


def malformed(problem: str) -> InternalError:
    """Returns the error for an answer that breaks the contract."""
    return InternalError(
        "INTERNAL", "", f"the server's answer breaks boxmask.v1: {problem}; are the versions alike?"
    )


def _instance(instance: Instance) -> pb.Instance:
    box = instance.box
    corners = pb.BoundingBox(x0=box.x0, y0=box.y0, x1=box.x1, y1=box.y1)
    return pb.Instance(id=instance.id, box=corners, class_name=instance.class_name)


def _mask(mask: pb.InstanceMask, instance: Instance) -> InstanceMask:
    if mask.WhichOneof("mask") != "coco_rle" or mask.fallback not in FALLBACKS:
        raise malformed(f"expected a COCO RLE and a known fallback for instance {instance.id!r}")
    window = Window(mask.window.x0, mask.window.y0, mask.window.x1, mask.window.y1)
    pixels = decode_rle(mask.coco_rle, window.height, window.width)
    proposal = Proposal(window, pixels, FALLBACKS[mask.fallback])
    signals = _signals(mask.signals) if mask.HasField("signals") else None
    return InstanceMask(instance, proposal, mask.quality, signals)


def _signals(signals: pb.Signals) -> Signals:
    return Signals(
        certainty=signals.certainty if signals.HasField("certainty") else None,
        agreement=signals.agreement if signals.HasField("agreement") else None,
        tightness=signals.tightness,
        fill=signals.fill,
        parts=signals.parts,
        separation=signals.separation if signals.HasField("separation") else None,
        rivalry=signals.rivalry if signals.HasField("rivalry") else None,
    )


def _input_size(model: pb.Model) -> InputSize:
    match model.WhichOneof("input"):
        case "fixed_side":
            return FixedSize(model.fixed_side)
        case "any_size":
            return AnySize(model.any_size.step, model.any_size.max_side)
    raise malformed(f"the model {model.name!r} does not say which sizes it takes")
