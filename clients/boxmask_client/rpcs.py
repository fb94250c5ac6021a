"""The remote procedures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from google.protobuf.message import Message

from boxmask.v1 import admin_pb2 as admin
from boxmask.v1 import labeling_pb2 as pb

LABELING: Final = "boxmask.v1.LabelingService"
ADMIN: Final = "boxmask.v1.AdminService"

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


@dataclass(frozen=True)
class Rpc(Generic[Request, Response]):
    """One remote procedure.

    Attributes:
        name: Its name in the service.
        response: Type of its answers.
        service: Full name of the service.
    """

    name: str
    response: type[Response]
    service: str = LABELING

    @property
    def path(self) -> str:
        """How HTTP/2 names it."""
        return f"/{self.service}/{self.name}"


PSEUDO_LABEL = Rpc[pb.PseudoLabelRequest, pb.PseudoLabelResponse]("PseudoLabel", pb.PseudoLabelResponse)
STREAM_PSEUDO_LABEL = Rpc[pb.StreamPseudoLabelRequest, pb.StreamPseudoLabelResponse](
    "StreamPseudoLabel", pb.StreamPseudoLabelResponse
)
SEGMENT = Rpc[pb.SegmentRequest, pb.SegmentResponse]("Segment", pb.SegmentResponse)
STREAM_SEGMENT = Rpc[pb.StreamSegmentRequest, pb.StreamSegmentResponse](
    "StreamSegment", pb.StreamSegmentResponse
)
LIST_MODELS = Rpc[pb.ListModelsRequest, pb.ListModelsResponse]("ListModels", pb.ListModelsResponse)
GET_MODEL = Rpc[pb.GetModelRequest, pb.GetModelResponse]("GetModel", pb.GetModelResponse)
RELOAD_MODELS = Rpc[admin.ReloadModelsRequest, admin.ReloadModelsResponse](
    "ReloadModels", admin.ReloadModelsResponse, ADMIN
)

SINGLE: Final = (PSEUDO_LABEL.name, SEGMENT.name, LIST_MODELS.name, GET_MODEL.name)
"""Those of the labeling service with one question and one answer."""


def serialize(message: Message) -> bytes:
    """Returns the bytes of a message; generated messages have no other common way to say so."""
    return message.SerializeToString()
