"""A load generator that hid a stall, or was late itself, would make every latency worthless."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean, pstdev
from typing import TYPE_CHECKING

import grpc
import numpy as np
import onnxruntime
import pytest

from benchmarks.load.drive import Exchange, Outcome, drive, drive_apart
from benchmarks.load.inference import answered_tensors, infer_call, tensors_of
from benchmarks.load.payloads import MAKERS
from benchmarks.load.plan import Call, ClosedLoop, OpenLoop, Plan
from benchmarks.load.schedule import constant, poisson
from benchmarks.load.summary import summarize
from boxmask.inference import open_inference_pb2 as pb
from boxmask.v1 import labeling_pb2
from boxmask_core.bundle import Bundle, starter_path
from boxmask_core.formats import open_dataset
from boxmask_core.instances import ImageRecord
from demo.make_dataset import make_dataset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Answer = Callable[[bytes, grpc.aio.ServicerContext[bytes, bytes]], Awaitable[bytes]]

METHOD = "/test.Service/Ask"
STALL = 0.3


@dataclass(slots=True)
class StallingServer:
    """Answers one after the other and at once, but stops for a while before one of them.

    Attributes:
        before: Which request it stops before.
        asked: How many there were.
    """

    before: int
    asked: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def answer(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        del context
        async with self.turn:
            self.asked += 1
            if self.asked == self.before:
                await asyncio.sleep(STALL)
        return request


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    server = grpc.aio.server()
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", {"Ask": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@contextmanager
def serving_in_a_thread(answer: Answer) -> Iterator[str]:
    addresses: list[str] = []
    started, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with serving(answer) as address:
            addresses.append(address)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(10)
    try:
        yield addresses[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def driven(answer: Answer, load: OpenLoop | ClosedLoop, *payloads: bytes) -> tuple[Plan, Outcome]:
    async def run() -> tuple[Plan, Outcome]:
        async with serving(answer) as address:
            calls = tuple(Call(METHOD, payload) for payload in payloads or (b"payload",))
            plan = Plan(address, calls, load, warm_up=0)
            return plan, await drive(plan)

    return asyncio.run(run())


async def echo(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    del context
    return request


def latencies(outcome: Outcome) -> list[float]:
    return [each.done - each.scheduled for each in outcome.exchanges]


def test_an_open_loop_charges_a_stall_to_every_request_that_was_due_meanwhile() -> None:
    plan, outcome = driven(StallingServer(before=40).answer, constant(200, 1))
    exchanges = sorted(outcome.exchanges, key=lambda each: each.scheduled)
    stalled = next(each for each in exchanges if each.done - each.scheduled >= STALL)
    meanwhile = [each for each in exchanges if stalled.scheduled <= each.scheduled < stalled.done]
    assert len(exchanges) == 200
    assert len(meanwhile) >= 200 * STALL
    assert all(each.done >= stalled.done - 0.01 for each in meanwhile)
    assert summarize(plan, outcome).p99 >= STALL - 0.02


def test_a_closed_loop_does_not_show_what_a_stall_costs() -> None:
    plan, outcome = driven(StallingServer(before=40).answer, ClosedLoop(1, requests=200))
    assert summarize(plan, outcome).most >= STALL
    assert sum(latency >= STALL for latency in latencies(outcome)) < 5


def test_an_open_loop_keeps_to_its_schedule_while_nothing_is_answered() -> None:
    load = constant(200, 0.5)
    released = asyncio.Event()

    async def hold(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        del context
        await released.wait()
        return request

    async def run() -> Outcome:
        async with serving(hold) as address:
            driving = asyncio.create_task(drive(Plan(address, (Call(METHOD, b""),), load, warm_up=0)))
            await asyncio.sleep(1)
            released.set()
            return await driving

    outcome = asyncio.run(run())
    assert sorted(each.scheduled for each in outcome.exchanges) == pytest.approx(load.times)
    assert all(each.scheduled <= each.sent < each.scheduled + 0.25 for each in outcome.exchanges)
    assert min(each.done for each in outcome.exchanges) > max(each.sent for each in outcome.exchanges)


def test_a_client_that_is_late_itself_says_so_and_counts_its_delay() -> None:
    asked = iter(range(1000))

    async def block(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        if next(asked) == 20:
            time.sleep(STALL)  # the event loop is the client's too: it cannot send meanwhile
        return await echo(request, context)

    plan, outcome = driven(block, constant(200, 1))
    summary = summarize(plan, outcome)
    assert summary.lag >= STALL - 0.05
    assert summary.p99 >= STALL - 0.05


def test_refusals_are_counted_by_code_and_are_no_part_of_goodput_and_latency() -> None:
    asked = iter(range(1000))

    async def every_other(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        if next(asked) % 2:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        await asyncio.sleep(0.2)
        return request

    plan, outcome = driven(every_other, constant(100, 1))
    summary = summarize(plan, outcome)
    assert summary.refusals.keys() == {"RESOURCE_EXHAUSTED"}
    assert summary.refusals["RESOURCE_EXHAUSTED"].count == 50
    assert summary.refusals["RESOURCE_EXHAUSTED"].median < 0.2 <= summary.p50
    assert summary.offered == pytest.approx(100)
    assert summary.goodput == pytest.approx(50 / outcome.seconds)
    assert str(summary.row()["refused"]).startswith("50 RESOURCE_EXHAUSTED in ")


def test_a_request_that_is_never_answered_ends_with_its_deadline() -> None:
    async def never(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        del context
        await asyncio.sleep(60)
        return request

    async def run() -> tuple[Plan, Outcome]:
        async with serving(never) as address:
            plan = Plan(address, (Call(METHOD, b""),), constant(20, 0.2), timeout=0.3, warm_up=0)
            return plan, await drive(plan)

    summary = summarize(*asyncio.run(run()))
    assert summary.refusals["DEADLINE_EXCEEDED"].count == 4
    assert summary.goodput == 0
    assert summary.row()["p99, ms"] == "none"


def test_a_server_that_cannot_be_reached_is_an_error() -> None:
    plan = Plan("127.0.0.1:1", (Call(METHOD, b""),), constant(1, 1), timeout=0.3)
    with pytest.raises(TimeoutError):
        asyncio.run(drive(plan))


def test_requests_are_sent_in_their_order_byte_for_byte() -> None:
    seen: list[bytes] = []

    async def note(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        seen.append(request)
        return await echo(request, context)

    _, outcome = driven(note, ClosedLoop(1, requests=7), b"\x00\xff", b"second", b"")
    assert seen == [b"\x00\xff", b"second", b""] * 2 + [b"\x00\xff"]
    assert [each.call for each in outcome.exchanges] == [0, 1, 2, 0, 1, 2, 0]


def test_a_closed_loop_has_as_many_requests_at_once_as_callers() -> None:
    inside, most = 0, 0

    async def count(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.02)
        inside -= 1
        return await echo(request, context)

    _, outcome = driven(count, ClosedLoop(3, seconds=0.5))
    assert most == 3
    assert max(each.sent for each in outcome.exchanges) < 0.5 + 0.1


def test_requests_before_the_load_do_not_count() -> None:
    server = StallingServer(before=1)

    async def run() -> Outcome:
        async with serving(server.answer) as address:
            return await drive(Plan(address, (Call(METHOD, b""),), ClosedLoop(1, requests=5), warm_up=2))

    outcome = asyncio.run(run())
    assert server.asked == 7
    assert len(outcome.exchanges) == 5


def test_a_load_from_a_process_of_its_own_is_answered_likewise() -> None:
    with serving_in_a_thread(StallingServer(before=20).answer) as address:
        plan = Plan(address, (Call(METHOD, b"payload"),), poisson(100, 0.5, seed=1), warm_up=0)
        outcome = drive_apart(plan)
    assert sorted(each.scheduled for each in outcome.exchanges) == pytest.approx(
        poisson(100, 0.5, seed=1).times
    )
    assert {each.code for each in outcome.exchanges} == {"OK"}
    assert max(latencies(outcome)) >= STALL
    assert 0 < outcome.client_cpu < 10


def test_a_constant_schedule_is_evenly_spaced() -> None:
    load = constant(50, 2)
    assert len(load.times) == 100
    assert load.times[0] == 0
    np.testing.assert_allclose(np.diff(load.times), 1 / 50)


def test_the_gaps_of_a_poisson_schedule_are_exponential() -> None:
    load = poisson(200, 100, seed=7)
    gaps = [after - before for before, after in pairwise(load.times)]
    assert len(load.times) == pytest.approx(20_000, rel=0.03)
    assert fmean(gaps) == pytest.approx(1 / 200, rel=0.03)
    # An exponential distribution has its mean for standard deviation, and exceeds it in 1/e of all cases.
    assert pstdev(gaps) == pytest.approx(1 / 200, rel=0.05)
    assert fmean(gap > 1 / 200 for gap in gaps) == pytest.approx(math.exp(-1), rel=0.03)
    assert max(load.times) < 100


def test_a_seed_names_a_poisson_schedule() -> None:
    assert poisson(50, 5, seed=3) == poisson(50, 5, seed=3)
    assert poisson(50, 5, seed=3) != poisson(50, 5, seed=4)


def test_a_quantile_is_the_least_latency_that_no_more_than_the_rest_exceeds() -> None:
    exchanges = tuple(Exchange(0, 10.0, 10.0 + ms / 1e4, 10.0 + ms / 1e3, "OK") for ms in range(100, 0, -1))
    plan = Plan("", (), ClosedLoop(1))
    summary = summarize(plan, Outcome(exchanges, seconds=20.0, client_cpu=5.0))
    found = (summary.p50, summary.p90, summary.p99, summary.most, summary.lag)
    assert found == pytest.approx((0.050, 0.090, 0.099, 0.100, 0.0099))
    assert (summary.goodput, summary.offered, summary.client_cores) == (5.0, 5.0, 0.25)


def test_tensors_come_back_from_a_request_as_they_went_in() -> None:
    rng = np.random.default_rng(0)
    tensors: dict[str, NDArray[np.generic]] = {
        "image": rng.integers(0, 256, (1, 5, 4, 3), dtype=np.uint8),
        "label": rng.random((1, 20), dtype=np.float32),
    }
    model, found = tensors_of(infer_call("cfs", tensors))
    assert model == "cfs"
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype


@pytest.mark.parametrize("raw", [True, False])
def test_an_answers_tensor_is_read_raw_or_typed(raw: bool) -> None:
    values = np.random.default_rng(0).random((2, 3), dtype=np.float32)
    output = pb.ModelInferResponse.InferOutputTensor(name="scores", datatype="FP32", shape=[2, 3])
    if not raw:
        output.contents.fp32_contents.extend(values.ravel().tolist())
    contents = [values.tobytes()] if raw else []
    response = pb.ModelInferResponse(outputs=[output], raw_output_contents=contents)
    np.testing.assert_array_equal(answered_tensors(response.SerializeToString())["scores"], values)


def test_the_networks_take_what_is_made_of_a_dataset(tmp_path: Path) -> None:
    bundle = Bundle.load(starter_path())
    records = [each for each in open_dataset(make_dataset(tmp_path)) if isinstance(each, ImageRecord)][:2]
    boxes = sum(len(record.instances) for record in records)
    for kind, network, count in (("cfs", "cfs", boxes), ("lgsa", "lgsa", 2), ("lgsa-fixed", "lgsa", 2)):
        calls = MAKERS[kind](records, bundle)
        session = onnxruntime.InferenceSession(
            bundle.network(network).file, providers=["CPUExecutionProvider"]
        )
        assert len(calls) == count
        for call in calls:
            model, feed = tensors_of(call)
            assert model == network
            (found,) = session.run(None, feed)
            assert found.shape[0] == 1


def test_the_labeling_service_is_asked_with_the_files_bytes(tmp_path: Path) -> None:
    bundle = Bundle.load(starter_path())
    records = [each for each in open_dataset(make_dataset(tmp_path)) if isinstance(each, ImageRecord)]
    asked = MAKERS["pseudo-label"](records, bundle), MAKERS["segment"](records, bundle)
    for record, for_masks, for_labels in zip(records, *asked, strict=True):
        masks = labeling_pb2.PseudoLabelRequest.FromString(for_masks.payload)
        assert masks.image == record.path.read_bytes()
        assert [each.class_name for each in masks.instances] == [each.class_name for each in record.instances]
        labels = labeling_pb2.SegmentRequest.FromString(for_labels.payload)
        assert labels.image == record.path.read_bytes()
        assert (for_masks.method[-12:], for_labels.method[-8:]) == ("/PseudoLabel", "/Segment")
