"""What the two kinds of streams carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from boxmask.v1 import labeling_pb2 as pb
from boxmask_client.calls import is_slow
from boxmask_client.messages import to_answer, to_request
from boxmask_client.questions import Question, SegmentQuestion
from boxmask_client.rpcs import STREAM_PSEUDO_LABEL, STREAM_SEGMENT
from boxmask_client.segment_messages import to_segment_request, to_segmentation

if TYPE_CHECKING:
    from collections.abc import Callable

    from boxmask_client.answers import Answer, Segmentation
    from boxmask_client.rpcs import Rpc

Asked = TypeVar("Asked", Question, SegmentQuestion)
Answered = TypeVar("Answered")
Item = TypeVar("Item", pb.StreamPseudoLabelRequest, pb.StreamSegmentRequest)
Reply = TypeVar("Reply", pb.StreamPseudoLabelResponse, pb.StreamSegmentResponse)


@dataclass(frozen=True)
class Exchange(Generic[Asked, Answered, Item, Reply]):
    """What one kind of stream carries.

    Attributes:
        rpc: The procedure.
        write: From an item's id and its question to its message.
        read: From the message of an answer, and the question, to what it says.
        slow_read: Whether ``read`` decodes masks.
    """

    rpc: Rpc[Item, Reply]
    write: Callable[[str, Asked], Item]
    read: Callable[[Reply, Asked], Answered]
    slow_read: bool = False

    def slow_write(self, asked: Asked) -> bool:
        """Returns whether ``write`` reads a file or encodes an image."""
        return is_slow(asked)


def _ask_for_masks(item_id: str, question: Question) -> pb.StreamPseudoLabelRequest:
    return pb.StreamPseudoLabelRequest(item_id=item_id, request=to_request(question))


def _masks(reply: pb.StreamPseudoLabelResponse, question: Question) -> Answer:
    return to_answer(reply.response, question.instances)


def _ask_for_label_map(item_id: str, question: SegmentQuestion) -> pb.StreamSegmentRequest:
    return pb.StreamSegmentRequest(item_id=item_id, request=to_segment_request(question))


def _label_map(reply: pb.StreamSegmentResponse, _: SegmentQuestion) -> Segmentation:
    return to_segmentation(reply.response)


MASKS = Exchange(STREAM_PSEUDO_LABEL, _ask_for_masks, _masks, slow_read=True)
LABEL_MAPS = Exchange(STREAM_SEGMENT, _ask_for_label_map, _label_map)
