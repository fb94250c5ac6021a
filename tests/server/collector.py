"""A real collector of OpenTelemetry traces, on loopback, that keeps what it is sent."""

from __future__ import annotations

import contextlib
from concurrent import futures
from typing import TYPE_CHECKING

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Kept(pb_grpc.TraceServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self._requests: list[pb.ExportTraceServiceRequest] = []

    def Export(
        self,
        request: pb.ExportTraceServiceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.ExportTraceServiceResponse:
        self._requests.append(request)
        return pb.ExportTraceServiceResponse()

    def spans(self) -> list[Span]:
        """Returns all spans, which a server that is called boxmask must have sent."""
        resources = [resource for request in self._requests for resource in request.resource_spans]
        for resource in resources:
            named = {each.key: each.value.string_value for each in resource.resource.attributes}
            assert named["service.name"] == "boxmask"
        return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]


@contextlib.contextmanager
def collecting() -> Iterator[tuple[Kept, str]]:
    """Collects while the block runs; yields what is kept, and the endpoint."""
    server = grpc.server(futures.ThreadPoolExecutor(1))
    kept = Kept()
    pb_grpc.add_TraceServiceServicer_to_server(kept, server)  # type: ignore[no-untyped-call]  # generated
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield kept, f"http://127.0.0.1:{port}"
    finally:
        server.stop(0).wait()
