"""What is asked: images of a dataset as requests of both services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.load.inference import infer_call
from benchmarks.load.plan import Call
from boxmask_client.messages import to_request
from boxmask_client.questions import Question, SegmentQuestion
from boxmask_client.segment_messages import to_segment_request
from boxmask_core.bundle import CFS, LGSA
from boxmask_core.crops import network_crop, resized
from boxmask_core.images import decode
from boxmask_core.segmentation import canvas_for, draw

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from boxmask_core.bundle import Bundle
    from boxmask_core.instances import ImageRecord

PSEUDO_LABEL: Final = "/boxmask.v1.LabelingService/PseudoLabel"
SEGMENT: Final = "/boxmask.v1.LabelingService/Segment"
COMMON_SIZE: Final = (512, 384)
"""``(width, height)`` that most photographs of VOC are padded to."""


def pseudo_label_calls(records: Sequence[ImageRecord], bundle: Bundle) -> tuple[Call, ...]:
    """Asks for the masks of every image's boxes."""
    del bundle
    questions = (Question(record.path, record.instances) for record in records)
    return tuple(Call(PSEUDO_LABEL, to_request(question).SerializeToString()) for question in questions)


def segment_calls(records: Sequence[ImageRecord], bundle: Bundle) -> tuple[Call, ...]:
    """Asks for the label map of every image."""
    del bundle
    questions = (SegmentQuestion(record.path) for record in records)
    return tuple(Call(SEGMENT, to_segment_request(question).SerializeToString()) for question in questions)


def lgsa_calls(records: Sequence[ImageRecord], bundle: Bundle) -> tuple[Call, ...]:
    """Asks the segmentation network about every image in its own size: the size mix of the dataset."""
    rule = bundle.network(LGSA).any_size()
    calls = []
    for record in records:
        image = decode(record.path.read_bytes())
        canvas = canvas_for(image.shape[1], image.shape[0], rule.step, rule.max_side)
        calls.append(infer_call(LGSA, {"image": draw(image, canvas)[None]}))
    return tuple(calls)


def lgsa_fixed_calls(records: Sequence[ImageRecord], bundle: Bundle) -> tuple[Call, ...]:
    """Asks the segmentation network about every image in one size."""
    del bundle
    images = (resized(decode(record.path.read_bytes()), COMMON_SIZE) for record in records)
    return tuple(infer_call(LGSA, {"image": image[None]}) for image in images)


def cfs_calls(records: Sequence[ImageRecord], bundle: Bundle) -> tuple[Call, ...]:
    """Asks the constrained foreground network about every box."""
    side = bundle.network(CFS).fixed_side()
    calls = []
    for record in records:
        image = decode(record.path.read_bytes())
        for instance in record.instances:
            crop = network_crop(image, instance.box, side)
            label = np.array([[name == instance.class_name for name in bundle.class_names]], np.float32)
            tensors: dict[str, NDArray[np.generic]] = {
                "image": crop.pixels[None],
                "box_mask": crop.box_mask[None],
                "label": label,
            }
            calls.append(infer_call(CFS, tensors))
    return tuple(calls)


MAKERS: Final[Mapping[str, Callable[[Sequence[ImageRecord], Bundle], tuple[Call, ...]]]] = {
    "pseudo-label": pseudo_label_calls,
    "segment": segment_calls,
    "lgsa": lgsa_calls,
    "lgsa-fixed": lgsa_fixed_calls,
    "cfs": cfs_calls,
}
