from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest

from boxmask.v1 import labeling_pb2 as pb
from boxmask_core.boxes import Box
from boxmask_core.instances import Instance
from boxmask_core.rle import decode_rle
from boxmask_server.networks.cfs_engine import CfsEngine, CfsInput
from boxmask_server.server import Settings
from boxmask_server.wire.converters import MESSAGE_SLACK
from boxmask_server.work.host_pool import HostPool
from boxmask_server.work.labeler import Limits, PseudoLabeler, Question
from tests.server.details import field_of, reason_of, retry_seconds_of, status_of
from tests.server.pictures import CAT, CORNER, EAR, HEAD, png
from tests.server.serving import Serving, content_of, request_of, serving, stream_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from boxmask_core.bundle import Bundle
    from boxmask_server.networks.session import Inferred

CODE = grpc.StatusCode


def test_masks_over_the_wire_are_those_of_the_pipeline(engine: CfsEngine, socket: str) -> None:
    async def scene() -> None:
        async with HostPool(1) as pool, PseudoLabeler(engine, pool, max_batch=1) as labeler:
            expected = await labeler.pseudo_label(Question(png("cat"), (CAT, EAR, CORNER)))
        async with serving(engine, Settings(socket)) as here:
            response = await here.stub.PseudoLabel(request_of(png("cat"), CAT, EAR, CORNER))
        assert [mask.id for mask in response.masks] == ["tom", "left", "corner"]
        for message, mask in zip(response.masks, expected.masks, strict=True):
            decoded = decode_rle(message.coco_rle, *mask.proposal.mask.shape)
            np.testing.assert_array_equal(decoded, mask.proposal.mask)
            assert message.quality == pytest.approx(mask.quality, abs=1e-6)
            assert mask.signals is not None
            for name, value in asdict(mask.signals).items():
                assert getattr(message.signals, name) == value
        assert list(response.class_names) == ["cat", "dog", "person", "ear"]
        assert response.model_digest == engine.digest
        assert response.timings.total_ms > response.timings.decode_ms > 0

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("request_", "code", "reason", "field"),
    [
        (request_of(b"no image", CAT), CODE.INVALID_ARGUMENT, "INVALID_IMAGE", "image"),
        (request_of(png("cat"), *[CAT] * 9), CODE.INVALID_ARGUMENT, "TOO_MANY_BOXES", "instances"),
        (request_of(bytes(200_001)), CODE.INVALID_ARGUMENT, "IMAGE_TOO_LARGE", "image"),
        (
            request_of(png("cat"), CAT, Instance(Box(500, 0, 600, 9), "cat")),
            CODE.INVALID_ARGUMENT,
            "INVALID_BOX",
            "instances[1].box",
        ),
        (
            pb.PseudoLabelRequest(instances=[pb.Instance()]),
            CODE.INVALID_ARGUMENT,
            "INVALID_BOX",
            "instances[0].box",
        ),
        (
            pb.PseudoLabelRequest(class_names=["a", "a"]),
            CODE.INVALID_ARGUMENT,
            "INVALID_REQUEST",
            "class_names",
        ),
    ],
)
def test_bad_input_is_refused_with_its_reason_and_its_field(
    engine: CfsEngine,
    socket: str,
    request_: pb.PseudoLabelRequest,
    code: grpc.StatusCode,
    reason: str,
    field: str,
) -> None:
    async def scene() -> None:
        limits = Limits(max_bytes=200_000, max_boxes=8)
        async with serving(engine, Settings(socket), limits=limits) as here:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await here.stub.PseudoLabel(request_)
            status = status_of(caught.value)
            assert caught.value.code() is code
            assert (reason_of(status), field_of(status)) == (reason, field)
            await here.stub.PseudoLabel(request_of(png("cat"), CAT))

    asyncio.run(scene())


def test_more_requests_than_the_queue_holds_are_refused_and_told_to_come_back(
    engine: CfsEngine, socket: str
) -> None:
    async def scene() -> None:
        async with serving(engine, Settings(socket, queue=2)) as here:
            request = request_of(png("cat"), CAT, method=pb.METHOD_GRABCUT)
            calls = [here.stub.PseudoLabel(request) for _ in range(8)]
            results = await asyncio.gather(*calls, return_exceptions=True)
            refused = [result for result in results if isinstance(result, grpc.aio.AioRpcError)]
            assert 0 < len(refused) < 8
            for error in refused:
                assert error.code() is CODE.RESOURCE_EXHAUSTED
                assert reason_of(status_of(error)) == "QUEUE_FULL"
                assert retry_seconds_of(status_of(error)) == 1
            await here.stub.PseudoLabel(request)

    asyncio.run(scene())


def test_a_deadline_is_kept(engine: CfsEngine, socket: str) -> None:
    async def scene() -> None:
        async with serving(engine, Settings(socket), workers=1) as here:
            request = request_of(png("cat"), *[CAT] * 200, method=pb.METHOD_GRABCUT)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await here.stub.PseudoLabel(request, timeout=0.2)
            assert caught.value.code() is CODE.DEADLINE_EXCEEDED
            await here.stub.PseudoLabel(request_of(png("astronaut"), HEAD))

    asyncio.run(scene())


def test_networks_are_listed_and_described(engine: CfsEngine, socket: str) -> None:
    async def scene() -> None:
        limits = Limits(1000, 2000, 30)
        async with serving(engine, Settings(socket, stream_window=5), limits=limits) as here:
            (listed,) = (await here.stub.ListModels(pb.ListModelsRequest())).models
            model = (await here.stub.GetModel(pb.GetModelRequest(name="cfs"))).model
            assert listed == model
            assert list(model.class_names) == list(engine.class_names)
            assert (model.fixed_side, model.digest) == (engine.input_size, engine.digest)
            assert model.provider == "CPUExecutionProvider"
            assert model.limits == pb.Limits(
                max_bytes=1000,
                max_pixels=2000,
                max_boxes=30,
                stream_window=5,
                max_message_bytes=1000 + MESSAGE_SLACK,
            )
            assert (model.bundle, model.version) == ("tiny", "1")
            with pytest.raises(grpc.aio.AioRpcError, match="only: cfs") as caught:
                await here.stub.GetModel(pb.GetModelRequest(name="lgsa"))
            assert caught.value.code() is CODE.NOT_FOUND
            assert reason_of(status_of(caught.value)) == "MODEL_NOT_FOUND"

    asyncio.run(scene())


def test_a_stream_answers_every_item_once_and_as_a_single_call_would(engine: CfsEngine, socket: str) -> None:
    requests = {
        "cats": request_of(png("cat"), CAT, EAR),
        "corner": request_of(png("cat"), CORNER),
        "head": request_of(png("astronaut"), HEAD),
        "box": request_of(png("cat"), CAT, method=pb.METHOD_BOX),
    }

    async def scene() -> None:
        async with serving(engine, Settings(socket, stream_window=3)) as here:
            expected = {key: await here.stub.PseudoLabel(request) for key, request in requests.items()}
            items = [_item(f"{key}-{n}", requests[key]) for n in range(5) for key in requests]
            answers = [answer async for answer in here.stub.StreamPseudoLabel(stream_of(items))]
        assert sorted(answer.item_id for answer in answers) == sorted(item.item_id for item in items)
        for answer in answers:
            assert content_of(answer.response) == content_of(expected[answer.item_id.partition("-")[0]])

    asyncio.run(scene())


def test_a_broken_item_is_answered_by_its_error_and_the_stream_goes_on(
    engine: CfsEngine, socket: str
) -> None:
    good = request_of(png("cat"), CAT)
    items = [
        _item("first", good),
        _item("broken", request_of(b"no image", CAT)),
        _item("empty", pb.PseudoLabelRequest()),
        _item("", good),
        _item("bad-box", pb.PseudoLabelRequest(image=png("cat"), instances=[pb.Instance(id="x")])),
        _item("last", good),
    ]

    async def scene() -> None:
        async with serving(engine, Settings(socket)) as here:
            answers = {a.item_id: a async for a in here.stub.StreamPseudoLabel(stream_of(items))}
        assert answers["first"].HasField("response")
        assert answers["last"].HasField("response")
        reasons = {key: reason_of(a.error) for key, a in answers.items() if a.HasField("error")}
        assert reasons == {
            "broken": "INVALID_IMAGE",
            "empty": "INVALID_IMAGE",
            "": "INVALID_REQUEST",
            "bad-box": "INVALID_BOX",
        }
        assert field_of(answers["bad-box"].error) == "instances[0].box"
        assert field_of(answers[""].error) == "item_id"

    asyncio.run(scene())


def test_an_id_that_is_still_unanswered_must_not_be_given_again(engine: CfsEngine, socket: str) -> None:
    slow = request_of(png("cat"), CAT, CAT, method=pb.METHOD_GRABCUT)

    async def scene() -> None:
        async with serving(engine, Settings(socket)) as here:
            call = here.stub.StreamPseudoLabel()
            await call.write(_item("twin", slow))
            await call.write(_item("twin", slow))
            refused, answered = await call.read(), await call.read()
            assert isinstance(refused, pb.StreamPseudoLabelResponse)
            assert isinstance(answered, pb.StreamPseudoLabelResponse)
            assert reason_of(refused.error) == "INVALID_REQUEST"
            assert answered.HasField("response")
            await call.write(_item("twin", request_of(png("cat"), CAT)))
            again = await call.read()
            assert isinstance(again, pb.StreamPseudoLabelResponse)
            assert again.HasField("response")
            await call.done_writing()

    asyncio.run(scene())


def test_streams_wait_for_a_place_instead_of_being_refused(engine: CfsEngine, socket: str) -> None:
    items = [_item(str(n), request_of(png("astronaut"), HEAD)) for n in range(10)]

    async def scene() -> None:
        async with serving(engine, Settings(socket, queue=1)) as here:
            answers = [a async for a in here.stub.StreamPseudoLabel(stream_of(items))]
        assert len(answers) == 10
        assert all(answer.HasField("response") for answer in answers)

    asyncio.run(scene())


def test_a_call_that_is_cancelled_frees_its_work(bundle: Bundle, socket: str) -> None:
    engine = CountingEngine(bundle, device="cpu", threads=1)

    async def scene() -> None:
        async with serving(engine, Settings(socket), workers=1) as here:
            engine.count = 0
            call = here.stub.PseudoLabel(request_of(png("cat"), *[CAT] * 200))
            running = asyncio.ensure_future(_result(call))
            while not engine.count:
                await asyncio.sleep(0.001)
            call.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await asyncio.wait_for(here.server.drain(20), 10)
            assert engine.count < 100

    asyncio.run(asyncio.wait_for(scene(), 20))


@pytest.mark.parametrize("reads", [0, 1])
def test_a_stream_that_is_cancelled_frees_its_work(bundle: Bundle, socket: str, reads: int) -> None:
    engine = CountingEngine(bundle, device="cpu", threads=1)
    items = [_item(str(n), request_of(png("cat"), *[CAT] * 40)) for n in range(8)]

    async def scene(here: Serving) -> None:
        engine.count = 0
        call = here.stub.StreamPseudoLabel(stream_of(items))
        for _ in range(reads):
            await call.read()
        while not engine.count:
            await asyncio.sleep(0.001)
        call.cancel()
        await asyncio.wait_for(here.server.drain(20), 10)  # returns when nothing is in flight
        assert engine.count < 160

    async def main() -> None:
        async with serving(engine, Settings(socket), workers=1) as here:
            await scene(here)

    asyncio.run(main())


def test_a_stream_whose_answers_are_not_taken_is_freed_when_it_is_cancelled(
    bundle: Bundle, socket: str
) -> None:
    engine = CountingEngine(bundle, device="cpu", threads=1)
    slow = request_of(png("cat"), *[CAT] * 40)
    huge = request_of(png("astronaut"), method=pb.METHOD_BOX)
    # 5 MB of answer: more than flow control lets through to a caller that does not read.
    huge.class_names.extend(f"{n:020000}" for n in range(250))
    items = [_item(f"slow {n}", slow) for n in range(4)] + [_item("huge", huge)]

    async def scene() -> None:
        async with serving(engine, Settings(socket), workers=1) as here:
            engine.count = 0
            call = here.stub.StreamPseudoLabel(stream_of(items))
            while engine.count < 40:
                await asyncio.sleep(0.001)
            call.cancel()
            await asyncio.wait_for(here.server.drain(20), 10)
            assert engine.count < 120

    asyncio.run(asyncio.wait_for(scene(), 20))


class CountingEngine(CfsEngine):
    """The real engine, and how many boxes it was given."""

    count = 0

    def infer(self, batch: Sequence[CfsInput]) -> list[Inferred]:
        self.count += len(batch)
        return super().infer(batch)


async def _result(call: Awaitable[pb.PseudoLabelResponse]) -> pb.PseudoLabelResponse:
    return await call


def _item(item_id: str, request: pb.PseudoLabelRequest) -> pb.StreamPseudoLabelRequest:
    return pb.StreamPseudoLabelRequest(item_id=item_id, request=request)
