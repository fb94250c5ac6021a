"""What each method of a client asks, and how its answer is read; alike for both clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from boxmask.v1 import admin_pb2 as admin
from boxmask.v1 import labeling_pb2 as pb
from boxmask_client.admin_messages import to_reloads
from boxmask_client.messages import to_answer, to_model, to_request
from boxmask_client.rpcs import (
    GET_MODEL,
    LIST_MODELS,
    PSEUDO_LABEL,
    RELOAD_MODELS,
    SEGMENT,
    Request,
    Response,
    Rpc,
)
from boxmask_client.segment_messages import to_segment_request, to_segmentation

if TYPE_CHECKING:
    from collections.abc import Callable

    from boxmask_client.answers import Answer, Model, Reload, Segmentation
    from boxmask_client.questions import Question, SegmentQuestion

Result = TypeVar("Result")

RELOAD_SECONDS = 600.0
"""How long a reload may take: every new network is loaded, compared and warmed up."""


@dataclass(frozen=True)
class Call(Generic[Request, Response, Result]):
    """One question with one answer.

    Attributes:
        rpc: The procedure.
        write: Gives the message of the question.
        read: Gives what the message of the answer says.
        slow_write: Whether ``write`` reads a file or encodes an image.
        slow_read: Whether ``read`` decodes masks.
    """

    rpc: Rpc[Request, Response]
    write: Callable[[], Request]
    read: Callable[[Response], Result]
    slow_write: bool = False
    slow_read: bool = False


def masks(question: Question) -> Call[pb.PseudoLabelRequest, pb.PseudoLabelResponse, Answer]:
    """Returns the call of ``pseudo_label``."""
    return Call(
        PSEUDO_LABEL,
        write=lambda: to_request(question),
        read=lambda response: to_answer(response, question.instances),
        slow_write=is_slow(question),
        slow_read=True,
    )


def label_map(question: SegmentQuestion) -> Call[pb.SegmentRequest, pb.SegmentResponse, Segmentation]:
    """Returns the call of ``segment``. Its answer stays encoded until it is looked at."""
    return Call(SEGMENT, lambda: to_segment_request(question), to_segmentation, slow_write=is_slow(question))


def models() -> Call[pb.ListModelsRequest, pb.ListModelsResponse, tuple[Model, ...]]:
    """Returns the call of ``models``."""
    return Call(
        LIST_MODELS,
        pb.ListModelsRequest,
        lambda response: tuple(to_model(model) for model in response.models),
    )


def model(name: str, bundle: str, version: str) -> Call[pb.GetModelRequest, pb.GetModelResponse, Model]:
    """Returns the call of ``model``."""
    request = pb.GetModelRequest(name=name, bundle=bundle, version=version)
    return Call(GET_MODEL, lambda: request, lambda response: to_model(response.model))


def reload_models(
    server: str,
) -> Call[admin.ReloadModelsRequest, admin.ReloadModelsResponse, tuple[Reload, ...]]:
    """Returns the call of ``reload_models`` to one server."""
    return Call(RELOAD_MODELS, admin.ReloadModelsRequest, lambda response: to_reloads(response, server))


def is_slow(question: Question | SegmentQuestion) -> bool:
    """Returns whether writing the message of a question reads a file or encodes an image."""
    return not isinstance(question.image, bytes)
