"""Real gRPC servers that answer as a test tells them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from boxmask.v1 import admin_pb2, admin_pb2_grpc
from boxmask.v1 import labeling_pb2 as pb
from boxmask.v1 import labeling_pb2_grpc as pb_grpc
from boxmask_client.rpcs import LABELING
from boxmask_client.statuses import DETAILS_KEY
from boxmask_core.rle import encode_rle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import NoReturn

    from google.protobuf.message import Message

    Context = grpc.ServicerContext
    Hook = Callable[[str, Context], None]


class ScriptedServer(pb_grpc.LabelingServiceServicer, admin_pb2_grpc.AdminServiceServicer):
    """Says its name in every answer, and counts the calls.

    Args:
        name: The bundle that its answers come from.
        hook: Called with the procedure's name before each answer; it may abort the call.

    Attributes:
        calls: Names of the procedures that were called.
        metadata: What came beside the last question.
        messages: The questions, as they came.
    """

    def __init__(self, name: str = "one", hook: Hook | None = None) -> None:
        self.name = name
        self.hook = hook
        self.calls: list[str] = []
        self.metadata: Mapping[str, str | bytes] = {}
        self.messages: list[Any] = []
        self._health = health.HealthServicer(experimental_non_blocking=True)
        self._server: grpc.Server | None = None

    def start(self, address: str, credentials: grpc.ServerCredentials | None = None) -> str:
        """Listens; returns the address, with the port that was taken."""
        self._server = grpc.server(
            ThreadPoolExecutor(8),
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)],
        )
        pb_grpc.add_LabelingServiceServicer_to_server(self, self._server)
        admin_pb2_grpc.add_AdminServiceServicer_to_server(self, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self.set_serving(True)
        if credentials is None:
            port = self._server.add_insecure_port(address)
        else:
            port = self._server.add_secure_port(address, credentials)
        self._server.start()
        return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"

    def stop(self) -> None:
        """Goes, without an answer to what is on its way."""
        if self._server is not None:
            self._server.stop(None).wait()
            self._server = None

    def set_serving(self, serving: bool) -> None:
        """Says whether it takes new calls."""
        statuses = health_pb2.HealthCheckResponse
        self._health.set(LABELING, statuses.SERVING if serving else statuses.NOT_SERVING)

    def PseudoLabel(self, request: pb.PseudoLabelRequest, context: Context) -> pb.PseudoLabelResponse:
        self._called("PseudoLabel", request, context)
        return answer_to(request, self.name)

    def StreamPseudoLabel(
        self, request_iterator: Iterator[pb.StreamPseudoLabelRequest], context: Context
    ) -> Iterator[pb.StreamPseudoLabelResponse]:
        for item in request_iterator:
            self._called("StreamPseudoLabel", item, context)
            yield pb.StreamPseudoLabelResponse(
                item_id=item.item_id, response=answer_to(item.request, self.name)
            )

    def Segment(self, request: pb.SegmentRequest, context: Context) -> pb.SegmentResponse:
        self._called("Segment", request, context)
        return pb.SegmentResponse(width=len(request.image), height=1, label_map_png=b"png", bundle=self.name)

    def StreamSegment(
        self, request_iterator: Iterator[pb.StreamSegmentRequest], context: Context
    ) -> Iterator[pb.StreamSegmentResponse]:
        for item in request_iterator:
            yield pb.StreamSegmentResponse(item_id=item.item_id, response=self.Segment(item.request, context))

    def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        self._called("ListModels", request, context)
        return pb.ListModelsResponse(models=[pb.Model(name="cfs", fixed_side=8, bundle=self.name)])

    def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        self._called("GetModel", request, context)
        model = pb.Model(name=request.name, fixed_side=8, bundle=request.bundle, version=request.version)
        return pb.GetModelResponse(model=model)

    def ReloadModels(
        self, request: admin_pb2.ReloadModelsRequest, context: Context
    ) -> admin_pb2.ReloadModelsResponse:
        self._called("ReloadModels", request, context)
        outcomes = admin_pb2.ReloadOutcome.values()[1:]
        return admin_pb2.ReloadModelsResponse(
            reloads=[
                admin_pb2.Reload(bundle=self.name, version=str(outcome), outcome=outcome, problem="")
                for outcome in outcomes
            ]
        )

    def _called(self, name: str, message: Message, context: Context) -> None:
        self.calls.append(name)
        self.messages.append(message)
        self.metadata = dict(context.invocation_metadata())
        if self.hook is not None:
            self.hook(name, context)


def answer_to(request: pb.PseudoLabelRequest, bundle: str) -> pb.PseudoLabelResponse:
    """Returns an answer whose masks are one pixel, and whose width is the image's number of bytes."""
    masks = [
        pb.InstanceMask(
            window=pb.PixelWindow(x1=1, y1=1),
            coco_rle=encode_rle(np.ones((1, 1), dtype=np.bool_)),
            fallback=pb.FALLBACK_NONE,
        )
        for _ in request.instances
    ]
    return pb.PseudoLabelResponse(width=len(request.image), height=1, masks=masks, bundle=bundle, version="7")


def status_of(code: grpc.StatusCode, message: str, *details: Message) -> Status:
    """Returns a status with details."""
    packed = []
    for detail in details:
        wrapped = AnyMessage()
        wrapped.Pack(detail)
        packed.append(wrapped)
    return Status(code=code.value[0], message=message, details=packed)


def abort(context: Context, status: Status) -> NoReturn:
    """Ends a call with a status and its details."""
    context.set_trailing_metadata(((DETAILS_KEY, status.SerializeToString()),))
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    context.abort(code, status.message)
    raise AssertionError("an abort does not return")


def failing(times: int, status: Status) -> Hook:
    """Returns a hook that fails as often as it is told, then lets pass."""
    left = [times]

    def hook(_: str, context: Context) -> None:
        if left[0] > 0:
            left[0] -= 1
            abort(context, status)

    return hook


@contextmanager
def scripted(
    address: str,
    name: str = "one",
    hook: Hook | None = None,
    credentials: grpc.ServerCredentials | None = None,
) -> Iterator[tuple[ScriptedServer, str]]:
    """Runs a scripted server while the block runs, and gives it and its address."""
    server = ScriptedServer(name, hook)
    try:
        yield server, server.start(address, credentials)
    finally:
        server.stop()
