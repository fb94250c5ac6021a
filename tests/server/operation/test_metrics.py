from __future__ import annotations

import asyncio
import contextlib
import urllib.request
from typing import TYPE_CHECKING

import grpc
import pytest

from boxmask.v1 import labeling_pb2 as pb
from boxmask_core.errors import ListenError
from boxmask_server.operation.metrics import Metrics
from boxmask_server.server import Settings
from boxmask_server.wire.status import reason_of
from tests.server.pictures import CAT, EAR, png
from tests.server.serving import request_of, serving, stream_of

if TYPE_CHECKING:
    from boxmask_server.networks.cfs_engine import CfsEngine


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
            for stage in ("decode", "crop", "network", "refine", "encode"):
                seconds = value("boxmask_stage_seconds_total", {"stage": stage})
                field = "inference_ms" if stage == "network" else f"{stage}_ms"
                assert seconds is not None
                assert seconds > getattr(answer.timings, field) / 1e3 > 0
            assert value("boxmask_host_workers") == 3
            assert value("boxmask_requests_inside") == 0

    asyncio.run(scene())


def test_a_call_that_is_cancelled_is_counted_as_such() -> None:
    metrics = Metrics(1, lambda: 0, reason_of)
    with contextlib.suppress(asyncio.CancelledError), metrics.counted("Segment"):
        raise asyncio.CancelledError
    labels = {"method": "Segment", "outcome": "CANCELLED"}
    assert metrics.registry.get_sample_value("boxmask_requests_total", labels) == 1


def test_an_error_of_our_own_making_is_counted_as_internal() -> None:
    metrics = Metrics(1, lambda: 0, reason_of)
    with pytest.raises(ZeroDivisionError), metrics.counted("Segment"):
        raise ZeroDivisionError
    labels = {"method": "Segment", "outcome": "INTERNAL"}
    assert metrics.registry.get_sample_value("boxmask_requests_total", labels) == 1


def test_the_counts_are_served_over_http() -> None:
    metrics = Metrics(4, lambda: 2, reason_of)
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
    with Metrics(1, lambda: 0, reason_of).serve(address):
        pass
