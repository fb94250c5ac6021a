from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest

from boxmask.v1 import labeling_pb2 as pb
from boxmask_core.engines import HostEngines
from boxmask_core.palette import decode_indexed_png
from boxmask_core.segmentation import class_probabilities
from boxmask_server.networks.segmentation_engine import SegmentationEngine
from boxmask_server.server import Settings
from boxmask_server.wire.segment_converters import USES_CRF, segment_question_of
from boxmask_server.work.host_pool import HostPool
from boxmask_server.work.labeler import Limits
from boxmask_server.work.segmenter import Segmenter, SegmentQuestion
from tests.server.details import field_of, reason_of, status_of
from tests.server.pictures import CAT, encoded, noise, png
from tests.server.serving import content_of, request_of, serving, stream_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from numpy.typing import NDArray

    from boxmask_core.bundle import Bundle
    from boxmask_server.networks.cfs_engine import CfsEngine
    from boxmask_server.networks.session import Inferred

CODE = grpc.StatusCode


def test_every_value_of_the_contract_has_a_meaning() -> None:
    assert set(USES_CRF) == set(pb.SegmentRefinement.values())


def test_a_request_is_read_whole() -> None:
    request = pb.SegmentRequest(
        image=b"bytes",
        refinement=pb.SEGMENT_REFINEMENT_DENSE_CRF,
        scales=[0.5, 1.25],
        flip=True,
        include_scores=True,
    )
    expected = SegmentQuestion(b"bytes", scales=(0.5, 1.25), flip=True, crf=True, scores=True)
    assert segment_question_of(request) == expected
    assert segment_question_of(pb.SegmentRequest()) == SegmentQuestion(b"")


def test_the_label_map_over_the_wire_is_that_of_the_pipeline(
    segmentation: SegmentationEngine, socket: str
) -> None:
    image = encoded(noise(500, 300))

    async def scene() -> None:
        async with HostPool(1) as pool, Segmenter(segmentation, pool) as segmenter:
            expected = await segmenter.segment(SegmentQuestion(image, scores=True))
        async with serving(None, Settings(socket), segmentation=segmentation) as here:
            response = await here.stub.Segment(pb.SegmentRequest(image=image, include_scores=True))
            plain = await here.stub.Segment(pb.SegmentRequest(image=image))
        labels = decode_indexed_png(response.label_map_png)
        np.testing.assert_array_equal(labels, expected.labelling.classes)
        assert (response.width, response.height) == (500, 300)
        assert list(response.class_names) == ["cat", "dog", "person"]
        names = ("background", "cat", "dog", "person")
        assert [score.index for score in response.classes] == sorted(set(labels.ravel().tolist()))
        assert expected.probabilities is not None
        for score in response.classes:
            assert score.name == names[score.index]
            assert score.area == (labels == score.index).sum()
            assert score.mean_score == pytest.approx(expected.labelling.means[score.index], abs=1e-6)
            plane = decode_indexed_png(score.scores_png)
            (exact,) = class_probabilities(expected.probabilities, expected.canvas, [score.index])
            np.testing.assert_array_equal(plane, exact)
            assert plane[labels == score.index].mean() / 255 == pytest.approx(score.mean_score, abs=0.01)
        view = pb.View(resized_width=256, resized_height=154, padded_width=256, padded_height=160)
        assert list(response.views) == [view]
        assert response.model_digest == segmentation.digest
        assert response.timings.total_ms > response.timings.decode_ms > 0
        assert [score.scores_png for score in plain.classes] == [b""] * len(plain.classes)
        assert plain.label_map_png == response.label_map_png

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        (pb.SegmentRequest(image=b"no image"), "INVALID_IMAGE", "image"),
        (pb.SegmentRequest(), "INVALID_IMAGE", "image"),
        (pb.SegmentRequest(image=bytes(200_001)), "IMAGE_TOO_LARGE", "image"),
        (pb.SegmentRequest(image=png("cat"), scales=[0]), "INVALID_REQUEST", "scales"),
        (pb.SegmentRequest(image=png("cat"), scales=[float("nan")]), "INVALID_REQUEST", "scales"),
        (pb.SegmentRequest(image=png("cat"), scales=[1] * 9), "INVALID_REQUEST", "scales"),
        (pb.SegmentRequest(image=png("cat"), refinement=99), "INVALID_REQUEST", "refinement"),  # type: ignore[arg-type]  # a value of a later contract
    ],
)
def test_bad_input_is_refused_with_its_reason_and_its_field(
    segmentation: SegmentationEngine, socket: str, request_: pb.SegmentRequest, reason: str, field: str
) -> None:
    async def scene() -> None:
        limits = Limits(max_bytes=200_000)
        async with serving(None, Settings(socket), segmentation=segmentation, limits=limits) as here:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await here.stub.Segment(request_)
            status = status_of(caught.value)
            assert caught.value.code() is CODE.INVALID_ARGUMENT
            assert (reason_of(status), field_of(status)) == (reason, field)
            await here.stub.Segment(pb.SegmentRequest(image=png("cat")))

    asyncio.run(scene())


def test_a_server_without_a_segmentation_network_says_so_and_what_it_holds(
    engine: CfsEngine, socket: str
) -> None:
    request = pb.SegmentRequest(image=png("cat"))

    async def scene() -> None:
        async with serving(engine, Settings(socket)) as here:
            with pytest.raises(grpc.aio.AioRpcError, match="no network 'lgsa', only: cfs") as caught:
                await here.stub.Segment(request)
            assert caught.value.code() is CODE.NOT_FOUND
            assert reason_of(status_of(caught.value)) == "MODEL_NOT_FOUND"
            items = stream_of([pb.StreamSegmentRequest(item_id="it", request=request)])
            (answer,) = [answer async for answer in here.stub.StreamSegment(items)]
            assert (answer.item_id, reason_of(answer.error)) == ("it", "MODEL_NOT_FOUND")

    asyncio.run(scene())


def test_a_server_without_cfs_still_cuts_out_boxes(segmentation: SegmentationEngine, socket: str) -> None:
    async def scene() -> None:
        async with serving(None, Settings(socket), segmentation=segmentation) as here:
            (model,) = (await here.stub.ListModels(pb.ListModelsRequest())).models
            assert (model.name, model.any_size.step, model.any_size.max_side) == ("lgsa", 32, 256)
            assert (model.output_stride, model.task) == (8, "semantic-segmentation")
            cut = request_of(png("cat"), CAT, method=pb.METHOD_GRABCUT)
            assert (await here.stub.PseudoLabel(cut)).masks
            with pytest.raises(grpc.aio.AioRpcError, match="needs a network") as caught:
                await here.stub.PseudoLabel(request_of(png("cat"), CAT))
            assert field_of(status_of(caught.value)) == "method"

    asyncio.run(scene())


def test_a_crf_that_is_not_installed_is_a_failed_precondition(
    segmentation: SegmentationEngine, socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    request = pb.SegmentRequest(image=png("cat"), refinement=pb.SEGMENT_REFINEMENT_DENSE_CRF)

    async def scene() -> None:
        host = HostEngines(crf="pydensecrf")
        async with serving(None, Settings(socket), segmentation=segmentation, host=host) as here:
            with pytest.raises(grpc.aio.AioRpcError, match=r"boxmask\[crf\]") as caught:
                await here.stub.Segment(request)
            assert caught.value.code() is CODE.FAILED_PRECONDITION
            assert reason_of(status_of(caught.value)) == "MISSING_EXTRA"

    asyncio.run(scene())


def test_both_networks_are_listed_and_share_one_door(
    engine: CfsEngine, segmentation: SegmentationEngine, socket: str
) -> None:
    async def scene() -> None:
        async with serving(engine, Settings(socket, queue=2), segmentation=segmentation) as here:
            models = (await here.stub.ListModels(pb.ListModelsRequest())).models
            assert [model.name for model in models] == ["cfs", "lgsa"]
            crf = pb.SegmentRequest(image=png("cat"), refinement=pb.SEGMENT_REFINEMENT_DENSE_CRF)
            cut = request_of(png("cat"), CAT, method=pb.METHOD_GRABCUT)
            refusals = await asyncio.gather(
                *(_refusal(here.stub.Segment(crf)) for _ in range(4)),
                *(_refusal(here.stub.PseudoLabel(cut)) for _ in range(4)),
            )
            assert 0 < refusals.count("QUEUE_FULL") < 8
            assert set(refusals) == {"QUEUE_FULL", None}

    asyncio.run(scene())


def test_a_stream_answers_every_item_as_a_single_call_would_and_goes_on_after_a_broken_one(
    segmentation: SegmentationEngine, socket: str
) -> None:
    requests = {
        "cat": pb.SegmentRequest(image=png("cat")),
        "head": pb.SegmentRequest(image=png("astronaut"), flip=True, scales=[0.5, 1]),
        "large": pb.SegmentRequest(image=encoded(noise(600, 300)), include_scores=True),
    }
    broken = {"broken": pb.SegmentRequest(image=png("cat")[:900]), "": requests["cat"]}

    async def scene() -> None:
        async with serving(None, Settings(socket, stream_window=3), segmentation=segmentation) as here:
            expected = {key: await here.stub.Segment(request) for key, request in requests.items()}
            items = [_item(f"{key}-{n}", requests[key]) for n in range(5) for key in requests]
            items[4:4] = [_item(key, request) for key, request in broken.items()]
            answers = [answer async for answer in here.stub.StreamSegment(stream_of(items))]
        assert sorted(answer.item_id for answer in answers) == sorted(item.item_id for item in items)
        errors = {a.item_id: reason_of(a.error) for a in answers if a.HasField("error")}
        assert errors == {"broken": "INVALID_IMAGE", "": "INVALID_REQUEST"}
        for answer in answers:
            if answer.HasField("response"):
                assert content_of(answer.response) == content_of(expected[answer.item_id.partition("-")[0]])

    asyncio.run(scene())


@pytest.mark.parametrize("reads", [0, 1])
def test_a_stream_that_is_cancelled_frees_its_work(bundle: Bundle, socket: str, reads: int) -> None:
    engine = CountingEngine(bundle, device="cpu", threads=1)
    request = pb.SegmentRequest(image=png("cat"), scales=[0.25, 0.5, 0.75, 1], flip=True)
    items = [_item(str(n), request) for n in range(100)]

    async def scene() -> None:
        async with serving(None, Settings(socket), segmentation=engine, workers=1) as here:
            engine.count = 0
            call = here.stub.StreamSegment(stream_of(items))
            for _ in range(reads):
                await call.read()
            while not engine.count:
                await asyncio.sleep(0.001)
            call.cancel()
            await asyncio.wait_for(here.server.drain(20), 10)  # returns when nothing is in flight
            assert engine.count < 400

    asyncio.run(scene())


class CountingEngine(SegmentationEngine):
    """The real engine, and how many pictures it was given."""

    count = 0

    def infer(self, batch: Sequence[NDArray[np.uint8]], *, beside: bool = False) -> list[Inferred]:
        self.count += len(batch)
        return super().infer(batch, beside=beside)


async def _refusal(call: Awaitable[object]) -> str | None:
    """Returns why a call was refused, None where it was answered."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return reason_of(status_of(error))
    return None


def _item(item_id: str, request: pb.SegmentRequest) -> pb.StreamSegmentRequest:
    return pb.StreamSegmentRequest(item_id=item_id, request=request)
