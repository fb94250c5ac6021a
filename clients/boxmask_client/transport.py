"""The way of messages to a server and back: one method, so that a test can stand in for the wire."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from boxmask.v1 import labeling_pb2 as pb
from boxmask_client.statuses import from_rpc_error

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

MAX_MESSAGE_BYTES: Final = 68 * 1024 * 1024
"""Largest message sent or taken, bytes: a server's own limit, 64 MiB of image and 4 MiB beside it."""

RETRIES: Final = {
    "methodConfig": [
        {
            "name": [{"service": "boxmask.v1.LabelingService"}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
"""gRPC's service config. Questions change nothing at the server, so asking again is safe."""

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


@dataclass(frozen=True)
class Rpc(Generic[Request, Response]):
    """One remote procedure.

    Attributes:
        name: Its name in the service.
        response: Type of its answers.
        streams: Whether it takes and gives many messages, or one.
    """

    name: str
    response: type[Response]
    streams: bool = False


PSEUDO_LABEL = Rpc[pb.PseudoLabelRequest, pb.PseudoLabelResponse]("PseudoLabel", pb.PseudoLabelResponse)
STREAM_PSEUDO_LABEL = Rpc[pb.StreamPseudoLabelRequest, pb.StreamPseudoLabelResponse](
    "StreamPseudoLabel", pb.StreamPseudoLabelResponse, streams=True
)
SEGMENT = Rpc[pb.SegmentRequest, pb.SegmentResponse]("Segment", pb.SegmentResponse)
STREAM_SEGMENT = Rpc[pb.StreamSegmentRequest, pb.StreamSegmentResponse](
    "StreamSegment", pb.StreamSegmentResponse, streams=True
)
LIST_MODELS = Rpc[pb.ListModelsRequest, pb.ListModelsResponse]("ListModels", pb.ListModelsResponse)
GET_MODEL = Rpc[pb.GetModelRequest, pb.GetModelResponse]("GetModel", pb.GetModelResponse)


class Transport(Protocol):
    """Carries messages to a server and back."""

    def call(
        self,
        rpc: Rpc[Request, Response],
        requests: Iterator[Request],
        *,
        timeout: float | None,
        wait_for_ready: bool = False,
    ) -> Generator[Response, None, None]:
        """Calls one procedure; the call ends when the answers end or are closed.

        Args:
            rpc: What to call.
            requests: The messages; of a procedure that does not stream, only the first is taken. Those of
                a stream are pulled by a thread of the transport's own.
            timeout: Seconds for the whole call; None for no limit.
            wait_for_ready: Whether to wait for a server that is not there yet.

        Raises:
            ServerError: The call failed.
        """

    def close(self) -> None:
        """Gives the connection back; calls that run are cancelled."""


class GrpcTransport:
    """A transport over one gRPC channel.

    Args:
        target: ``host:port`` or ``unix:/path``.
        max_message_bytes: Largest message sent or taken.
        credentials: Of a TLS channel; None for a plain one.
    """

    def __init__(
        self,
        target: str,
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        options = (
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.service_config", json.dumps(RETRIES)),
            # A server that is just starting is found within a tenth of a second, not within the default one.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 5000),
            # A stream has no deadline; pings tell a server that works from one that is gone.
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.http2.max_pings_without_data", 0),
        )
        if credentials is None:
            self._channel = grpc.insecure_channel(target, options=options)
        else:
            self._channel = grpc.secure_channel(target, credentials, options=options)

    def call(
        self,
        rpc: Rpc[Request, Response],
        requests: Iterator[Request],
        *,
        timeout: float | None,
        wait_for_ready: bool = False,
    ) -> Generator[Response, None, None]:
        """See `Transport.call`."""
        path = f"/boxmask.v1.LabelingService/{rpc.name}"
        serialize, parse = _serialize, rpc.response.FromString
        try:
            if not rpc.streams:
                unary = self._channel.unary_unary(path, serialize, parse)
                yield unary(next(requests), timeout=timeout, wait_for_ready=wait_for_ready)
                return
            stream = self._channel.stream_stream(path, serialize, parse)
            answers = stream(requests, timeout=timeout, wait_for_ready=wait_for_ready)
            try:
                yield from answers
            finally:
                answers.cancel()
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    def close(self) -> None:
        """See `Transport.close`."""
        self._channel.close()


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
