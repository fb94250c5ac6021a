"""Images and boxes that are wrong, or strange, or meant to harm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import grpc
import pytest
from google.rpc.status_pb2 import Status

from boxmask.v1 import labeling_pb2 as pb
from tests.faults import pictures
from tests.faults.neighbours import answered, neighbours
from tests.faults.servers import Server, serving
from tests.server.details import field_of, reason_of
from tests.server.pictures import CAT, EAR, encoded, noise, png
from tests.server.serving import content_of, request_of

if TYPE_CHECKING:
    from pathlib import Path

BOXES = 10_000


def refusal(server: Server, request: pb.PseudoLabelRequest | pb.SegmentRequest) -> Status:
    """Returns the status of a call that must be refused as the caller's fault."""
    with server.stub() as stub, pytest.raises(grpc.RpcError) as caught:
        answered(stub, request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    details = {datum.key: datum.value for datum in caught.value.trailing_metadata()}[
        "grpc-status-details-bin"
    ]
    assert isinstance(details, bytes)
    return Status.FromString(details)


def test_the_answer_does_not_depend_on_the_dress_of_the_image(server: Server) -> None:
    with server.stub() as stub, neighbours(server):
        expected = content_of(stub.PseudoLabel(request_of(png("cat"), CAT, EAR)))
        for name, data in pictures.same_as_the_cat().items():
            assert content_of(stub.PseudoLabel(request_of(data, CAT, EAR))) == expected, name


def test_images_in_unusual_dress_are_answered(server: Server) -> None:
    with server.stub() as stub, neighbours(server):
        for name, data in pictures.unusual().items():
            answer = stub.PseudoLabel(request_of(data, CAT, EAR))
            assert (answer.width, answer.height, len(answer.masks)) == (225, 150, 2), name
            assert (stub.Segment(pb.SegmentRequest(image=data)).width) == 225, name


def test_broken_images_are_refused(server: Server) -> None:
    with neighbours(server):
        for name, data in pictures.broken().items():
            for request in (request_of(data, CAT), pb.SegmentRequest(image=data)):
                status = refusal(server, request)
                assert (reason_of(status), field_of(status)) == ("INVALID_IMAGE", "image"), name


def test_bombs_are_refused_before_they_take_memory(server: Server) -> None:
    with neighbours(server):
        pass
    peak = server.peak()
    with neighbours(server):
        for name, data in pictures.bombs().items():
            assert len(data) < 20_000, name
            for request in (request_of(data, CAT), pb.SegmentRequest(image=data)):
                status = refusal(server, request)
                assert reason_of(status) in {"IMAGE_TOO_LARGE", "INVALID_IMAGE"}, name
                assert field_of(status) == "image"
    assert server.peak() < peak + 50


def test_ten_thousand_boxes_are_too_many(server: Server) -> None:
    with neighbours(server):
        status = refusal(server, request_of(png("cat"), *[EAR] * BOXES))
    assert (reason_of(status), field_of(status)) == ("TOO_MANY_BOXES", "instances")


def test_ten_thousand_boxes_are_answered_where_they_are_allowed(tiny_bundle: Path, tmp_path: Path) -> None:
    with serving(tiny_bundle, tmp_path, "--max-boxes", str(BOXES)) as server, server.stub() as stub:
        one = stub.PseudoLabel(request_of(png("cat"), EAR, method=pb.METHOD_BOX)).masks[0]
        before = server.held()
        with neighbours(server):
            many = request_of(png("cat"), *[EAR] * BOXES, method=pb.METHOD_BOX)
            answer = stub.PseudoLabel(many, timeout=120)
        assert len(answer.masks) == BOXES
        # All are the same mask; what differs from one alone is that each has a rival, and so is trusted less.
        (only,) = {mask.SerializeToString() for mask in answer.masks}
        mask = pb.InstanceMask.FromString(only)
        assert (one.signals.rivalry, mask.signals.rivalry) == (0, 1)
        assert mask.quality < one.quality
        mask.quality, mask.signals.rivalry = one.quality, one.signals.rivalry
        assert mask == one
        server.assert_well(before)


@pytest.mark.parametrize(
    "corners",
    [
        (math.nan, 0, 10, 10),
        (0, 0, 10, math.nan),
        (0, -math.inf, math.inf, 10),
        (10, 10, 10, 20),
        (20, 10, 10, 20),
        (1e6, 1e6, 2e6, 2e6),
    ],
)
def test_boxes_that_are_none_are_refused_by_their_place(
    server: Server, corners: tuple[float, float, float, float]
) -> None:
    request = request_of(png("cat"), CAT, EAR)
    x0, y0, x1, y1 = corners
    request.instances[1].box.CopyFrom(pb.BoundingBox(x0=x0, y0=y0, x1=x1, y1=y1))
    status = refusal(server, request)
    assert (reason_of(status), field_of(status)) == ("INVALID_BOX", "instances[1].box")
    with server.stub() as stub:
        (answer,) = stub.StreamPseudoLabel(iter([pb.StreamPseudoLabelRequest(item_id="1", request=request)]))
    assert reason_of(answer.error) == "INVALID_BOX"


def test_boxes_far_beyond_the_image_are_cut_to_it(server: Server) -> None:
    request = request_of(png("cat"), CAT)
    answers = []
    for x0, y0, x1, y1 in ((0, 0, 225, 150), (-1e308, -1e308, 1e308, 1e308)):
        request.instances[0].box.CopyFrom(pb.BoundingBox(x0=x0, y0=y0, x1=x1, y1=y1))
        with server.stub() as stub:
            answers.append(answered(stub, request))
    assert answers[0] == answers[1]


def test_a_message_above_the_limit_ends_its_call_alone(tiny_bundle: Path, tmp_path: Path) -> None:
    with serving(tiny_bundle, tmp_path, "--max-bytes", "1000000") as server:
        before = server.held()
        with neighbours(server), server.stub() as stub:
            assert reason_of(refusal(server, request_of(encoded(noise(900, 700)), CAT))) == "IMAGE_TOO_LARGE"
            with pytest.raises(grpc.RpcError) as caught:
                stub.PseudoLabel(request_of(bytes(8_000_000), CAT))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        server.assert_well(before)
