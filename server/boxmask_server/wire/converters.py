"""The border: messages of boxmask.v1 to boxmask's own values, and back."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from PIL import Image

from boxmask.v1 import labeling_pb2 as pb
from boxmask_core.boxes import Box
from boxmask_core.bundle import AnySize, FixedSize
from boxmask_core.compositing import compose
from boxmask_core.errors import InvalidBoxError, InvalidRequestError
from boxmask_core.grabcut import Fallback
from boxmask_core.instances import Instance
from boxmask_core.palette import encode_indexed_png
from boxmask_core.rle import encode_rle
from boxmask_server.work.host_steps import since
from boxmask_server.work.labeler import Method, Question
from boxmask_server.work.urgency import AT_ONCE, Priority, Urgency

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from boxmask_core.boxes import Window
    from boxmask_core.instances import InstanceMask
    from boxmask_core.quality import Signals
    from boxmask_server.networks.cfs_engine import CfsEngine
    from boxmask_server.networks.segmentation_engine import SegmentationEngine
    from boxmask_server.work.labeler import Answer, Limits, Timings
    from boxmask_server.work.model_store import Held

Value = TypeVar("Value")

MESSAGE_SLACK = 4 * 1024 * 1024
"""Bytes of a message beside its image: boxes, class names, framing."""
MAX_CLASSES = 254
"""Classes of a label map: 0 is background and 255 void."""

METHODS: Mapping[int, Method] = {
    pb.METHOD_UNSPECIFIED: Method.CFS,
    pb.METHOD_BOX: Method.BOX,
    pb.METHOD_GRABCUT: Method.GRABCUT,
    pb.METHOD_CFS: Method.CFS,
}
REFINES: Mapping[int, bool] = {
    pb.REFINEMENT_UNSPECIFIED: True,
    pb.REFINEMENT_NONE: False,
    pb.REFINEMENT_GRABCUT: True,
}
PRIORITIES: Mapping[int, Priority | None] = {
    pb.PRIORITY_UNSPECIFIED: None,
    pb.PRIORITY_INTERACTIVE: Priority.INTERACTIVE,
    pb.PRIORITY_BULK: Priority.BULK,
}
AS_PNG: Mapping[int, bool] = {
    pb.MASK_ENCODING_UNSPECIFIED: False,
    pb.MASK_ENCODING_COCO_RLE: False,
    pb.MASK_ENCODING_PNG: True,
}
FALLBACKS: Mapping[Fallback, pb.Fallback.ValueType] = {
    Fallback.NONE: pb.FALLBACK_NONE,
    Fallback.TINY_BOX: pb.FALLBACK_TINY_BOX,
    Fallback.BOX_COVERS_IMAGE: pb.FALLBACK_BOX_COVERS_IMAGE,
    Fallback.CONSTANT_COLOUR: pb.FALLBACK_CONSTANT_COLOUR,
    Fallback.EMPTY_FOREGROUND: pb.FALLBACK_EMPTY_FOREGROUND,
    Fallback.EMPTY_BACKGROUND: pb.FALLBACK_EMPTY_BACKGROUND,
    Fallback.SMALL_MASK: pb.FALLBACK_SMALL_MASK,
    Fallback.CFS_SILENT: pb.FALLBACK_CFS_SILENT,
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """How an answer is to be written.

    Attributes:
        as_png: Masks as PNG, not as run lengths.
        class_names: Class names in the label map's order, the first with index 1; None for no label map.
    """

    as_png: bool
    class_names: tuple[str, ...] | None


def urgency_of(priority: int, default: Priority, seconds: float | None) -> Urgency:
    """Reads how urgent a request is.

    Args:
        priority: What the request says.
        default: What it means where it says nothing.
        seconds: Until its deadline; None where it has none.

    Raises:
        InvalidRequestError: The contract does not know the value.
    """
    said = known(PRIORITIES, "priority", priority)
    return Urgency(said or default, None if seconds is None else time.monotonic() + seconds)


def question_of(request: pb.PseudoLabelRequest, urgency: Urgency = AT_ONCE) -> Question:
    """Reads what is asked.

    Raises:
        InvalidBoxError: A box is degenerate; it names which.
        InvalidRequestError: A field holds a value that the contract does not know.
    """
    return Question(
        image=request.image,
        instances=tuple(_instance(index, message) for index, message in enumerate(request.instances)),
        method=known(METHODS, "method", request.method),
        refine=known(REFINES, "refinement", request.refinement),
        urgency=urgency,
    )


def wanted_of(request: pb.PseudoLabelRequest, network_classes: Sequence[str]) -> Wanted:
    """Reads how the answer is to be written.

    Args:
        request: The request.
        network_classes: Class names of the network, the start of the label map where the request gives none.

    Raises:
        InvalidRequestError: The class names are too many, repeated, or lack the class of an instance.
    """
    as_png = known(AS_PNG, "mask_encoding", request.mask_encoding)
    if request.omit_label_map:
        return Wanted(as_png, None)
    asked = [instance.class_name for instance in request.instances]
    names = tuple(request.class_names) or tuple(dict.fromkeys((*network_classes, *asked)))
    if len(names) > MAX_CLASSES:
        raise InvalidRequestError(
            "class_names",
            f"a label map holds at most {MAX_CLASSES} classes, but got {len(names)}; set omit_label_map",
        )
    if len(set(names)) < len(names):
        raise InvalidRequestError("class_names", "a name must not be repeated")
    if missing := sorted(set(asked) - set(names)):
        raise InvalidRequestError("class_names", f"the instances' class {missing[0]!r} is missing; add it")
    return Wanted(as_png, names)


def response_of(answer: Answer, wanted: Wanted) -> pb.PseudoLabelResponse:
    """Writes an answer. Compositing and encoding happen here: call it in the host pool."""
    start = perf_counter()
    response = pb.PseudoLabelResponse(
        width=answer.width,
        height=answer.height,
        masks=[_mask(mask, as_png=wanted.as_png) for mask in answer.masks],
        model_digest=answer.model_digest,
    )
    if wanted.class_names is not None:
        indices = {name: index for index, name in enumerate(wanted.class_names, start=1)}
        labels = compose(answer.width, answer.height, answer.masks, indices)
        response.label_map_png = encode_indexed_png(labels.classes)
        response.class_names.extend(wanted.class_names)
    response.timings.CopyFrom(timings_of(answer.timings, since(start)))
    return response


def timings_of(timings: Timings, encode_ms: float) -> pb.Timings:
    """Writes where the time went, and adds the time of encoding."""
    return pb.Timings(
        decode_ms=timings.decode_ms,
        crop_ms=timings.crop_ms,
        network_ms=timings.network_ms,
        inference_ms=timings.inference_ms,
        refine_ms=timings.refine_ms,
        encode_ms=encode_ms,
        total_ms=timings.total_ms + encode_ms,
        queue_ms=timings.queue_ms,
    )


def model_of(
    held: Held, engine: CfsEngine | SegmentationEngine, limits: Limits, stream_window: int
) -> pb.Model:
    """Describes the network that an engine runs."""
    network = engine.network
    model = pb.Model(
        name=network.name,
        task=network.task,
        class_names=engine.class_names,
        digest=network.digest,
        provider=engine.provider,
        license=network.license,
        training_data=network.training_data,
        parity_error=network.parity_error,
        limits=pb.Limits(
            max_bytes=limits.max_bytes,
            max_pixels=limits.max_pixels,
            max_boxes=limits.max_boxes,
            stream_window=stream_window,
            max_message_bytes=limits.max_bytes + MESSAGE_SLACK,
        ),
        output_stride=network.output_stride,
        bundle=held.bundle,
        version=held.version,
    )
    match network.input:
        case FixedSize(side):
            model.fixed_side = side
        case AnySize(step, max_side):
            model.any_size.CopyFrom(pb.AnySize(step=step, max_side=max_side))
    return model


def png_of(pixels: NDArray[np.bool_] | NDArray[np.uint8]) -> bytes:
    """Encodes one plane, ``(H, W)``, as PNG: of booleans as 1 bit, white for true, else as 8-bit grey."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


def known(table: Mapping[int, Value], field: str, value: int) -> Value:
    """Returns what a value of an enumeration means.

    Raises:
        InvalidRequestError: The contract does not know the value.
    """
    if value not in table:
        raise InvalidRequestError(field, f"expected one of {sorted(table)}, but got {value}")
    return table[value]


def _instance(index: int, message: pb.Instance) -> Instance:
    box = message.box
    try:
        return Instance(Box(box.x0, box.y0, box.x1, box.y1), message.class_name, id=message.id)
    except InvalidBoxError as error:
        raise error.of(index, message.id) from error


def _mask(mask: InstanceMask, *, as_png: bool) -> pb.InstanceMask:
    pixels = mask.proposal.mask
    message = pb.InstanceMask(
        id=mask.instance.id,
        window=_window(mask.proposal.window),
        area=int(pixels.sum()),
        quality=mask.quality,
        fallback=FALLBACKS[mask.proposal.fallback],
    )
    if as_png:
        message.png = png_of(pixels)
    else:
        message.coco_rle = encode_rle(pixels)
    if mask.signals is not None:
        message.signals.CopyFrom(_signals(mask.signals))
    return message


def _signals(signals: Signals) -> pb.Signals:
    return pb.Signals(
        certainty=signals.certainty,
        agreement=signals.agreement,
        tightness=signals.tightness,
        fill=signals.fill,
        parts=signals.parts,
        separation=signals.separation,
        rivalry=signals.rivalry,
    )


def _window(window: Window) -> pb.PixelWindow:
    return pb.PixelWindow(x0=window.x0, y0=window.y0, x1=window.x1, y1=window.y1)
