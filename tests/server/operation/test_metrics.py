from __future__ import annotations

import asyncio
import contextlib
import re
import urllib.request
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import grpc
import pytest

from boxmask.v1 import labeling_pb2 as pb
from boxmask_core.errors import ListenError
from boxmask_server.operation.metrics import Metrics, Model
from boxmask_server.operation.stages import STAGES
from boxmask_server.server import Settings
from boxmask_server.wire.status import reason_of
from tests.server.pictures import CAT, EAR, png
from tests.server.serving import request_of, serving, stream_of

if TYPE_CHECKING:
    from boxmask_server.networks.cfs_engine import CfsEngine
    from boxmask_server.work.observer import Observer


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(1, reason_of)


def test_outcomes_and_the_work_of_each_stage_are_counted(engine: CfsEngine, socket: str) -> None:
    async def scene() -> None:
        async with serving(engine, Settings(socket), workers=3) as here:
            answer = await here.stub.PseudoLabel(request_of(png("cat"), CAT, EAR))
            with pytest.raises(grpc.aio.AioRpcError):
                await here.stub.PseudoLabel(request_of(b"no image", CAT))
            items = [
                pb.StreamPseudoLabelRequest(item_id=name, request=request_of(image, CAT))
                for name, image in (("good", png("cat")), ("bad", b""))
            ]
            assert len([each async for each in here.stub.StreamPseudoLabel(stream_of(items))]) == 2
            value = here.server.metrics.registry.get_sample_value
            count = "boxmask_requests_total"
            assert value(count, {"method": "PseudoLabel", "outcome": "OK"}) == 1
            assert value(count, {"method": "PseudoLabel", "outcome": "INVALID_IMAGE"}) == 1
            assert value(count, {"method": "StreamPseudoLabel", "outcome": "OK"}) == 1
            assert value(count, {"method": "StreamPseudoLabel", "outcome": "INVALID_IMAGE"}) == 1
            assert value("boxmask_request_seconds_count", {"method": "PseudoLabel"}) == 2
            for stage in STAGES:
                assert value("boxmask_stage_seconds_count", {"stage": stage}) == 2
                seconds = value("boxmask_stage_seconds_sum", {"stage": stage})
                field = "inference_ms" if stage == "network" else f"{stage}_ms"
                assert seconds is not None
                assert seconds >= getattr(answer.timings, field) / 1e3 >= 0
            assert value("boxmask_host_workers") == 3
            assert value("boxmask_requests_inside") == 0

    asyncio.run(scene())


def test_a_call_that_is_cancelled_is_counted_as_such(metrics: Metrics) -> None:
    with contextlib.suppress(asyncio.CancelledError), metrics.counted("Segment"):
        raise asyncio.CancelledError
    assert _value(metrics, "requests_total", method="Segment", outcome="CANCELLED") == 1


def test_an_error_of_our_own_making_is_counted_as_internal(metrics: Metrics) -> None:
    with pytest.raises(ZeroDivisionError), metrics.counted("Segment"):
        raise ZeroDivisionError
    assert _value(metrics, "requests_total", method="Segment", outcome="INTERNAL") == 1


def test_batches_are_counted_with_their_items_pixels_padding_and_waiting(metrics: Metrics) -> None:
    observer: Observer = metrics
    observer.batch("cfs", 3, 3000, 0, [0.002, 0.02, 0.2], 0.04)
    observer.batch("lgsa", 1, 700_000, 100_000, [0.5], 0.3)
    observer.dropped("deadline")
    observer.restarted("lgsa")
    assert _value(metrics, "batch_items_sum", network="cfs") == 3
    assert _value(metrics, "batch_items_bucket", network="cfs", le="2.0") == 0
    assert _value(metrics, "batch_items_bucket", network="cfs", le="4.0") == 1
    assert _value(metrics, "batch_pixels_sum", network="lgsa") == 700_000
    assert _value(metrics, "batch_padding_pixels_total", network="lgsa") == 100_000
    assert _value(metrics, "batch_wait_seconds_count", network="cfs") == 3
    assert _value(metrics, "batch_wait_seconds_bucket", network="cfs", le="0.025") == 2
    assert _value(metrics, "batch_seconds_sum", network="lgsa") == pytest.approx(0.3)
    assert _value(metrics, "dropped_total", reason="deadline") == 1
    assert _value(metrics, "batcher_restarts_total", network="lgsa") == 1


def test_what_waits_and_what_is_held_is_asked_for_when_somebody_looks(metrics: Metrics) -> None:
    waiting = Counter({"interactive": 2, "bulk": 30})
    held = [Model("pets", "1", "cfs", "CPUExecutionProvider", "sha256:ab")]
    metrics.queues({name: partial(waiting.__getitem__, name) for name in waiting}, lambda: 12_345)
    metrics.models(lambda: held)
    metrics.calls(lambda: 4)
    assert _value(metrics, "queue_items", priority="interactive") == 2
    waiting["bulk"] = 31
    assert _value(metrics, "queue_items", priority="bulk") == 31
    assert _value(metrics, "queue_bytes") == 12_345
    assert _value(metrics, "calls_open") == 4
    assert _value(metrics, "model_info", **held[0]._asdict()) == 1
    before = held.pop()
    assert _value(metrics, "model_info", **before._asdict()) is None


def test_operation_is_counted_too(metrics: Metrics) -> None:
    metrics.lagged(0.02)
    metrics.reloaded("tokens", "failed")
    metrics.logs(lambda: 5)
    assert _value(metrics, "event_loop_lag_seconds_count") == 1
    assert _value(metrics, "reloads_total", subject="tokens", outcome="failed") == 1
    assert _value(metrics, "log_lines_lost_total") == 5
    peak = _value(metrics, "resident_memory_peak_bytes")
    assert peak is not None
    assert 10e6 < peak < 1e12


def test_names_follow_the_convention_of_prometheus(metrics: Metrics) -> None:
    metrics.queues({}, lambda: 0)
    metrics.logs(lambda: 0)
    metrics.models(list)
    for family in metrics.registry.collect():
        if family.name.startswith(("process_", "python_")):
            continue
        assert re.fullmatch(r"boxmask_[a-z][a-z_]*", family.name)
        assert not re.search(r"_(ms|milliseconds|kb|mb|count|sum)$", family.name)
        if family.type == "counter":
            assert not family.name.endswith("_total")  # which the samples add
        if family.type == "histogram":
            assert family.name.endswith(("_seconds", "_items", "_pixels", "_bytes"))
        assert family.documentation.endswith(".")


def test_the_counts_are_served_over_http() -> None:
    metrics = Metrics(4, reason_of)
    metrics.inside(lambda: 2)
    with metrics.serve("127.0.0.1:0") as address:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
            text = page.read().decode()
        assert "boxmask_host_workers 4.0" in text
        assert "boxmask_requests_inside 2.0" in text
        assert "process_resident_memory_bytes" in text
        with pytest.raises(ListenError, match=address):
            _take(address)


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:many", "127.0.0.1:70000"])
def test_a_malformed_address_is_named(address: str) -> None:
    with pytest.raises(ListenError, match=address):
        _take(address)


def _take(address: str) -> None:
    with Metrics(1, reason_of).serve(address):
        pass


def _value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"boxmask_{name}", labels)
