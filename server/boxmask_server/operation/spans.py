"""Spans by OpenTelemetry: what `tracing` opens where there is a collector. It needs the extra ``otel``."""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from grpc import StatusCode
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, set_span_in_context
from opentelemetry.trace import StatusCode as SpanStatus
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from boxmask_server.operation.stages import seconds_by_stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from boxmask.v1 import labeling_pb2 as pb
    from boxmask_server.operation.call import Call

SERVICE: Final = "boxmask"
SEND_SECONDS: Final = 5
"""Seconds that the collector has to take a parcel of spans, the last one of a server that stops included."""

_SPAN: ContextVar[Span | None] = ContextVar("boxmask_span", default=None)
# It is set and never reset: calls and items of streams run in tasks of their own, and a stream that is given
# up is closed in another context, in which a reset would fail.


class Spans:
    """Follows calls; see `boxmask_server.operation.tracing.Tracing`.

    Args:
        endpoint: URL of a collector that takes OTLP by gRPC.
        ratio: Share of the calls that are followed, where the caller has not decided.
    """

    def __init__(self, endpoint: str, ratio: float) -> None:
        name = os.environ.get("OTEL_SERVICE_NAME") or SERVICE
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)), resource=Resource.create({"service.name": name})
        )
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=SEND_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(SERVICE)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def call(self, call: Call, metadata: Mapping[str, str]) -> Iterator[None]:
        """Opens the span of a call."""
        span = self._tracer.start_span(
            f"{call.service}/{call.method}",
            context=self._propagator.extract(metadata),
            kind=SpanKind.SERVER,
            attributes={
                "rpc.system": "grpc",
                "rpc.service": call.service,
                "rpc.method": call.method,
                "boxmask.request_id": call.request_id,
            },
        )
        if not isinstance(span, Span):  # it was not chosen to be followed
            yield
            return
        _SPAN.set(span)
        call.trace_id = f"{span.get_span_context().trace_id:032x}"
        try:
            yield
        finally:
            span.set_attribute("rpc.grpc.status_code", StatusCode[call.code].value[0])
            if call.caller:
                span.set_attribute("boxmask.caller", call.caller)
            if call.reason:
                span.set_attribute("boxmask.reason", call.reason)
            if call.code != "OK":
                span.set_status(Status(SpanStatus.ERROR, call.reason or call.code))
            span.end()

    @contextmanager
    def item(self, item_id: str) -> Iterator[None]:
        """Opens the span of one item of a stream."""
        parent = _SPAN.get()
        if parent is None:
            yield
            return
        span = self._tracer.start_span(
            "item", context=set_span_in_context(parent), attributes={"boxmask.item_id": item_id}
        )
        assert isinstance(span, Span)  # its parent is one
        _SPAN.set(span)
        try:
            yield
        except BaseException as error:
            span.set_status(Status(SpanStatus.ERROR, type(error).__name__))
            raise
        finally:
            span.end()

    def worked(self, timings: pb.Timings) -> None:
        """Adds the stages of a request to the span that is open, one after another.

        Boxes are worked on side by side, and their times are added up. Where the sum exceeds the request's
        own time, the spans are shortened until they fit, all by one factor; ``boxmask.seconds`` holds what
        was measured.
        """
        parent = _SPAN.get()
        if parent is None or parent.start_time is None:
            return
        stages = seconds_by_stage(timings)
        worked = sum(stages.values())
        factor = min(1.0, timings.total_ms / 1e3 / worked) if worked else 1.0
        context, at = set_span_in_context(parent), parent.start_time
        for stage, seconds in stages.items():
            span = self._tracer.start_span(
                stage, context=context, start_time=at, attributes={"boxmask.seconds": seconds}
            )
            at += round(seconds * factor * 1e9)
            span.end(at)

    def close(self) -> None:
        """Sends what has not been sent."""
        self._provider.shutdown()
