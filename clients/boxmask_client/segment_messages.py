"""Between the wire's messages of Segment and the client's dataclasses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxmask.v1 import labeling_pb2 as pb
from boxmask_client.answers import ClassScore, Segmentation
from boxmask_client.messages import PRIORITIES, malformed, to_timings
from boxmask_core.segmentation import Canvas

if TYPE_CHECKING:
    from boxmask_client.questions import SegmentQuestion


def to_segment_request(question: SegmentQuestion) -> pb.SegmentRequest:
    """Returns the message of a question.

    Raises:
        OSError: Its image file cannot be read.
        InvalidImageError: Its array is not uint8 RGB.
    """
    return pb.SegmentRequest(
        image=question.encoded_image(),
        refinement=pb.SEGMENT_REFINEMENT_DENSE_CRF if question.crf else pb.SEGMENT_REFINEMENT_NONE,
        scales=question.scales,
        flip=question.flip,
        include_scores=question.scores,
        priority=PRIORITIES[question.priority],
        bundle=question.bundle,
        version=question.version,
    )


def to_segmentation(response: pb.SegmentResponse) -> Segmentation:
    """Returns the answer in a message.

    Raises:
        InternalError: The message holds no label map.
    """
    if not response.label_map_png:
        raise malformed("expected a label map, but got none")
    return Segmentation(
        width=response.width,
        height=response.height,
        label_map_png=response.label_map_png,
        class_names=tuple(response.class_names),
        classes=tuple(_class_score(score) for score in response.classes),
        views=tuple(_canvas(view, response) for view in response.views),
        timings=to_timings(response.timings),
        model_digest=response.model_digest,
        bundle=response.bundle,
        version=response.version,
    )


def _class_score(score: pb.ClassScore) -> ClassScore:
    return ClassScore(score.name, score.index, score.area, score.mean_score, score.scores_png or None)


def _canvas(view: pb.View, response: pb.SegmentResponse) -> Canvas:
    return Canvas(
        width=response.width,
        height=response.height,
        resized=(view.resized_width, view.resized_height),
        padded=(view.padded_width, view.padded_height),
    )
