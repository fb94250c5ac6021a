"""Segmentation through the client, against a real server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from boxmask.v1 import labeling_pb2 as pb
from boxmask_client import Client, InternalError, NotFoundError, RejectedError, Segmentation, SegmentQuestion
from boxmask_client.segment_messages import to_segment_request, to_segmentation
from boxmask_core.bundle import Bundle
from boxmask_core.errors import InvalidImageError
from boxmask_core.segmentation import Canvas
from boxmask_server.networks.segmentation_engine import SegmentationEngine
from boxmask_server.work.host_pool import HostPool
from boxmask_server.work.segmenter import Segmenter
from boxmask_server.work.segmenter import SegmentQuestion as Asked
from tests.bundles import write_tiny_bundle
from tests.clients.both_stacks import loop_client
from tests.clients.running_server import running_server
from tests.clients.scenes import cat, jpeg, png, varied_cat
from tests.tiny_networks import CLASS_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture(params=[Client, loop_client], ids=["threads", "loop"])
def client(request: pytest.FixtureRequest, server: str) -> Iterator[Client]:
    """Each of the two clients."""
    with request.param(server) as client:
        yield client


def test_every_pixel_gets_the_class_that_the_pipeline_gives_it(client: Client, bundle: Bundle) -> None:
    answer = client.segment(png(cat()))
    np.testing.assert_array_equal(answer.label_map, _in_process(bundle, png(cat())))
    assert (answer.width, answer.height) == (225, 150)
    assert answer.class_names == CLASS_NAMES
    assert answer.views == (Canvas(225, 150, (225, 150), (256, 160)),)
    assert answer.model_digest == bundle.network("lgsa").digest
    assert answer.timings.total_ms > 0
    assert (answer.bundle, answer.version) == ("tiny", "1")
    assert sum(found.area for found in answer.classes) == 225 * 150
    for found in answer.classes:
        assert found.name == ("background", *CLASS_NAMES)[found.index]
        assert found.area == (answer.label_map == found.index).sum()
        assert 0 < found.mean_score <= 1
        assert found.scores is None


def test_scores_are_the_probabilities_in_eight_bits(client: Client) -> None:
    answer = client.segment(png(cat()), scores=True)
    planes = {found.index: found.scores for found in answer.classes}
    for found in answer.classes:
        plane = planes[found.index]
        assert plane is not None
        assert plane.shape == (150, 225)
        mean = plane[answer.label_map == found.index].mean() / 255
        assert mean == pytest.approx(found.mean_score, abs=0.005)


def test_scales_flip_and_crf_reach_the_server(client: Client) -> None:
    plain = client.segment(png(cat())).label_map
    scaled = client.segment(png(cat()), scales=(0.5, 1.0))
    assert [view.resized for view in scaled.views] == [(112, 75), (225, 150)]
    ways = [scaled, client.segment(png(cat()), flip=True), client.segment(png(cat()), crf=True)]
    assert all((way.label_map != plain).any() for way in ways)


def test_bytes_a_path_and_an_array_give_the_same_answer(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(png(cat()))
    maps = [client.segment(image).label_map_png for image in (png(cat()), path, cat())]
    assert maps[0] == maps[1] == maps[2]


def test_a_turned_photograph_is_segmented_upright(client: Client) -> None:
    answer = client.segment(jpeg(cat(), orientation=6))
    assert answer.label_map.shape == (225, 150)


def test_bad_questions_are_rejected(client: Client) -> None:
    with pytest.raises(RejectedError) as caught:
        client.segment(b"no image")
    assert caught.value.reason == "INVALID_IMAGE"
    with pytest.raises(RejectedError, match=r"expected each from 0\.25 to 4, but got 7"):
        client.segment(png(cat()), scales=[7])
    with pytest.raises(InvalidImageError, match="expected a uint8 array"):
        client.segment(np.zeros((4, 4), dtype=np.uint8))


def test_a_server_without_the_network_is_a_not_found_error(tmp_path: Path) -> None:
    bundle = Bundle.load(write_tiny_bundle(tmp_path / "half", ["cfs"]))
    with running_server(bundle, f"unix:{tmp_path}/socket") as address, Client(address) as client:
        with pytest.raises(NotFoundError, match="no network 'lgsa', only: cfs"):
            client.segment(png(cat()))
        ((key, outcome),) = client.stream_segment([(1, SegmentQuestion(png(cat())))])
        assert key == 1
        assert isinstance(outcome, NotFoundError)


def test_a_stream_answers_every_question_by_its_result_or_its_error(client: Client) -> None:
    questions = {i: SegmentQuestion(jpeg(varied_cat(i)), flip=i % 2 > 0) for i in range(6)}
    questions[3] = SegmentQuestion(b"no image")
    outcomes = dict(client.stream_segment(questions.items(), window=2))
    assert isinstance(outcomes.pop(3), RejectedError)
    assert outcomes.keys() == {0, 1, 2, 4, 5}
    for i, outcome in outcomes.items():
        assert isinstance(outcome, Segmentation)
        expected = client.segment(jpeg(varied_cat(i)), flip=i % 2 > 0)
        assert outcome.label_map_png == expected.label_map_png


def test_a_window_below_one_is_refused(client: Client) -> None:
    with pytest.raises(ValueError, match="window of at least 1, but got 0"):
        client.stream_segment([], window=0)


def test_a_question_says_all_that_was_asked() -> None:
    question = SegmentQuestion(b"image", True, (0.5, 1.0), True, True, "bulk", "voc", "3")
    request = to_segment_request(question)
    expected = pb.SegmentRequest(
        image=b"image",
        refinement=pb.SEGMENT_REFINEMENT_DENSE_CRF,
        scales=[0.5, 1],
        flip=True,
        include_scores=True,
        priority=pb.PRIORITY_BULK,
        bundle="voc",
        version="3",
    )
    assert request == expected
    assert to_segment_request(SegmentQuestion(b"")).refinement == pb.SEGMENT_REFINEMENT_NONE


def test_an_answer_without_a_label_map_breaks_the_contract() -> None:
    with pytest.raises(InternalError, match="expected a label map"):
        to_segmentation(pb.SegmentResponse(width=3, height=3))


def _in_process(bundle: Bundle, image: bytes) -> NDArray[np.uint8]:
    engine = SegmentationEngine(bundle, device="cpu", threads=1)

    async def scene() -> NDArray[np.uint8]:
        async with HostPool(1) as pool, Segmenter(engine, pool) as segmenter:
            return (await segmenter.segment(Asked(image))).labelling.classes

    return asyncio.run(scene())
