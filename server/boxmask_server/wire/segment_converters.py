"""The border of Segment: messages of boxmask.v1 to boxmask's own values, and back."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from boxmask.v1 import labeling_pb2 as pb
from boxmask_core.palette import BACKGROUND, encode_indexed_png
from boxmask_core.segmentation import class_probabilities
from boxmask_server.wire.converters import known, png_of, timings_of
from boxmask_server.work.host_steps import since
from boxmask_server.work.segmenter import SegmentQuestion
from boxmask_server.work.urgency import AT_ONCE, Urgency

if TYPE_CHECKING:
    from collections.abc import Mapping

    from boxmask_core.segmentation import Canvas
    from boxmask_server.work.segmenter import SegmentAnswer

USES_CRF: Mapping[int, bool] = {
    pb.SEGMENT_REFINEMENT_UNSPECIFIED: False,
    pb.SEGMENT_REFINEMENT_NONE: False,
    pb.SEGMENT_REFINEMENT_DENSE_CRF: True,
}


def segment_question_of(request: pb.SegmentRequest, urgency: Urgency = AT_ONCE) -> SegmentQuestion:
    """Reads what is asked.

    Raises:
        InvalidRequestError: A field holds a value that the contract does not know.
    """
    return SegmentQuestion(
        image=request.image,
        scales=tuple(request.scales) or (1.0,),
        flip=request.flip,
        crf=known(USES_CRF, "refinement", request.refinement),
        scores=request.include_scores,
        urgency=urgency,
    )


def segment_response_of(answer: SegmentAnswer) -> pb.SegmentResponse:
    """Writes an answer. Encoding happens here: call it in the host pool.

    The probabilities of one class at a time are carried to the image's size, so that those of a large image
    are never all in memory.
    """
    start = perf_counter()
    labels = answer.labelling.classes
    response = pb.SegmentResponse(
        width=labels.shape[1],
        height=labels.shape[0],
        label_map_png=encode_indexed_png(labels),
        class_names=answer.class_names,
        classes=[_class_score(answer, int(index)) for index in answer.labelling.areas.nonzero()[0]],
        views=[_view(canvas) for canvas in answer.canvases],
        model_digest=answer.model_digest,
    )
    response.timings.CopyFrom(timings_of(answer.timings, since(start)))
    return response


def _class_score(answer: SegmentAnswer, index: int) -> pb.ClassScore:
    score = pb.ClassScore(
        name=answer.class_names[index - 1] if index else BACKGROUND,
        index=index,
        area=int(answer.labelling.areas[index]),
        mean_score=float(answer.labelling.means[index]),
    )
    if answer.probabilities is not None:
        (plane,) = class_probabilities(answer.probabilities, answer.canvas, [index])
        score.scores_png = png_of(plane)
    return score


def _view(canvas: Canvas) -> pb.View:
    (resized_width, resized_height), (padded_width, padded_height) = canvas.resized, canvas.padded
    return pb.View(
        resized_width=resized_width,
        resized_height=resized_height,
        padded_width=padded_width,
        padded_height=padded_height,
    )
