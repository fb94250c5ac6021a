"""OpenTelemetry traces: a span for each call and each item of a stream, and below it one for each stage.

The extra ``otel`` brings what it takes; a server without it runs, and traces nothing.
"""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Protocol

from boxmask_core.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from boxmask.v1 import labeling_pb2 as pb
    from boxmask_server.operation.call import Call


class Tracing(Protocol):
    """Follows what is done for a caller."""

    def call(self, call: Call, metadata: Mapping[str, str]) -> contextlib.AbstractContextManager[None]:
        """Opens the span of a call, below the caller's own where the metadata name one.

        Args:
            call: The call; how it ended is read from it when the block ends.
            metadata: What came with it.
        """

    def item(self, item_id: str) -> contextlib.AbstractContextManager[None]:
        """Opens the span of one item of a stream."""

    def worked(self, timings: pb.Timings) -> None:
        """Adds the stages of a request to the span that is open."""

    def close(self) -> None:
        """Sends what has not been sent; blocks for some seconds where the collector does not answer."""


class NoTracing:
    """Follows nothing."""

    def call(self, call: Call, metadata: Mapping[str, str]) -> contextlib.AbstractContextManager[None]:  # noqa: ARG002
        """See `Tracing.call`."""
        return contextlib.nullcontext()

    def item(self, item_id: str) -> contextlib.AbstractContextManager[None]:  # noqa: ARG002
        """See `Tracing.item`."""
        return contextlib.nullcontext()

    def worked(self, timings: pb.Timings) -> None:
        """See `Tracing.worked`."""

    def close(self) -> None:
        """See `Tracing.close`."""


def open_tracing(endpoint: str | None, ratio: float) -> Tracing:
    """Returns what follows calls.

    Args:
        endpoint: URL of a collector that takes OTLP by gRPC; None follows nothing.
        ratio: Share of the calls that are followed, where the caller has not decided.

    Raises:
        MissingExtraError: There is an endpoint, and the extra ``otel`` is not installed.
    """
    if endpoint is None:
        return NoTracing()
    try:
        spans = importlib.import_module("boxmask_server.operation.spans")
    except ModuleNotFoundError as error:
        raise MissingExtraError("--otlp-endpoint", error.name or "opentelemetry", "otel") from error
    tracing: Tracing = spans.Spans(endpoint, ratio)
    return tracing
