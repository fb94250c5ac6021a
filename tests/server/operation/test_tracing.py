from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from boxmask.v1 import labeling_pb2 as pb
from boxmask_core.errors import InvalidImageError, MissingExtraError
from boxmask_server.operation.call import Call
from boxmask_server.operation.stages import STAGES
from boxmask_server.operation.tracing import NoTracing, Tracing, open_tracing
from tests.server.collector import collecting

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TIMINGS = pb.Timings(
    decode_ms=2, crop_ms=1, queue_ms=4, inference_ms=30, refine_ms=10, encode_ms=1, network_ms=34, total_ms=48
)


def test_a_call_is_a_span_and_its_stages_are_spans_below_it_in_their_order() -> None:
    def work(tracing: Tracing) -> None:
        call = Call("boxmask.v1.LabelingService", "PseudoLabel", "id-7", caller="editor")
        with tracing.call(call, {}):
            tracing.worked(TIMINGS)
        assert len(call.trace_id) == 32

    root, *stages = _sorted(_collected(work))
    assert root.name == "boxmask.v1.LabelingService/PseudoLabel"
    assert _attributes(root) == {
        "rpc.system": "grpc",
        "rpc.service": "boxmask.v1.LabelingService",
        "rpc.method": "PseudoLabel",
        "rpc.grpc.status_code": 0,
        "boxmask.request_id": "id-7",
        "boxmask.caller": "editor",
    }
    assert [stage.name for stage in stages] == list(STAGES)
    assert {stage.parent_span_id for stage in stages} == {root.span_id}
    assert {stage.trace_id for stage in stages} == {root.trace_id}
    milliseconds = [(stage.end_time_unix_nano - stage.start_time_unix_nano) / 1e6 for stage in stages]
    assert milliseconds == pytest.approx([2, 1, 4, 30, 10, 1], abs=0.01)
    assert stages[0].start_time_unix_nano == root.start_time_unix_nano
    assert all(after.start_time_unix_nano == before.end_time_unix_nano for before, after in pairwise(stages))


def test_stages_of_boxes_that_went_side_by_side_are_shortened_to_the_requests_time() -> None:
    timings = pb.Timings(decode_ms=100, refine_ms=300, total_ms=100)

    def work(tracing: Tracing) -> None:
        with tracing.call(Call("s", "m", "id"), {}):
            tracing.worked(timings)

    spans = {span.name: span for span in _collected(work)}
    length = {
        name: (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6 for name, span in spans.items()
    }
    assert (length["decode"], length["refine"]) == pytest.approx((25, 75), abs=0.01)
    assert _attributes(spans["refine"])["boxmask.seconds"] == pytest.approx(0.3)


def test_a_call_belongs_to_the_trace_that_its_metadata_name() -> None:
    def work(tracing: Tracing) -> None:
        call = Call("s", "m", "id")
        with tracing.call(call, {"traceparent": f"00-{TRACE}-{PARENT}-01"}):
            pass
        assert call.trace_id == TRACE

    (span,) = _collected(work)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)


def test_who_decided_to_be_followed_or_not_is_heard_whatever_the_ratio() -> None:
    def work(tracing: Tracing) -> None:
        for flag in ("01", "00"):
            with tracing.call(
                Call("s", f"flag {flag}", "id"), {"traceparent": f"00-{TRACE}-{PARENT}-{flag}"}
            ):
                tracing.worked(pb.Timings())
        with tracing.call(Call("s", "undecided", "id"), {"traceparent": "nonsense"}):
            pass

    names = {span.name for span in _collected(work, ratio=0.0)}
    assert names == {"s/flag 01", *STAGES}


def test_items_of_a_stream_are_spans_below_the_call_with_stages_of_their_own() -> None:
    async def item(tracing: Tracing, name: str) -> None:
        with tracing.item(name):
            await asyncio.sleep(0.01)
            if name == "bad":
                raise InvalidImageError("image", "it is none")
            tracing.worked(TIMINGS)

    async def stream(tracing: Tracing) -> None:
        with tracing.call(Call("s", "StreamSegment", "id"), {}):
            tasks = [asyncio.create_task(item(tracing, name)) for name in ("good", "bad")]
            await asyncio.gather(*tasks, return_exceptions=True)

    spans = _collected(lambda tracing: asyncio.run(stream(tracing)))
    (root,) = [span for span in spans if span.name == "s/StreamSegment"]
    items = {_attributes(span)["boxmask.item_id"]: span for span in spans if span.name == "item"}
    assert {span.parent_span_id for span in items.values()} == {root.span_id}
    assert items["bad"].status.message == "InvalidImageError"
    assert items["good"].status.code == 0
    assert {span.parent_span_id for span in spans if span.name in STAGES} == {items["good"].span_id}


def test_a_call_that_fails_says_why() -> None:
    def work(tracing: Tracing) -> None:
        call = Call("s", "m", "id")
        with contextlib.suppress(ZeroDivisionError), tracing.call(call, {}):
            call.code, call.reason = "INVALID_ARGUMENT", "INVALID_IMAGE"
            raise ZeroDivisionError

    (span,) = _collected(work)
    assert (span.status.code, span.status.message) == (2, "INVALID_IMAGE")
    assert _attributes(span)["rpc.grpc.status_code"] == 3
    assert _attributes(span)["boxmask.reason"] == "INVALID_IMAGE"
    assert not span.events  # no trace of ours goes to the collector


def test_without_an_endpoint_nothing_is_followed() -> None:
    tracing = open_tracing(None, 1.0)
    assert isinstance(tracing, NoTracing)
    call = Call("s", "m", "id")
    with tracing.call(call, {"traceparent": f"00-{TRACE}-{PARENT}-01"}), tracing.item("it"):
        tracing.worked(TIMINGS)
    tracing.close()
    assert not call.trace_id


def test_an_endpoint_without_the_extra_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "boxmask_server.operation.spans", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'boxmask\[otel\]'"):
        open_tracing("http://127.0.0.1:4317", 1.0)


def test_a_collector_that_is_not_there_holds_up_neither_calls_nor_the_end() -> None:
    tracing = open_tracing("http://127.0.0.1:1", 1.0)
    with tracing.call(Call("s", "m", "id"), {}):
        pass
    closing = threading.Thread(target=tracing.close)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()


def _collected(work: Any, ratio: float = 1.0) -> list[Span]:
    """Returns the spans that a collector was sent, all by a server that is called boxmask."""
    with collecting() as (kept, endpoint):
        tracing = open_tracing(endpoint, ratio)
        work(tracing)
        tracing.close()
    return kept.spans()


def _sorted(spans: list[Span]) -> list[Span]:
    """The root, then by start; those that start at one time in the order of the stages."""
    order = {name: index for index, name in enumerate(STAGES)}
    return sorted(spans, key=lambda span: (span.start_time_unix_nano, order.get(span.name, -1)))


def _attributes(span: Span) -> dict[str, Any]:
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in span.attributes}
