from __future__ import annotations

import io
from functools import partial

import numpy as np
import pytest
from PIL import Image

from boxmask.v1 import labeling_pb2 as pb
from boxmask_core.errors import InvalidBoxError, InvalidRequestError
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.instances import InstanceMask
from boxmask_core.palette import decode_indexed_png
from boxmask_core.rle import decode_rle
from boxmask_server.wire.converters import (
    AS_PNG,
    FALLBACKS,
    METHODS,
    REFINES,
    Wanted,
    question_of,
    response_of,
    wanted_of,
)
from boxmask_server.work.labeler import Answer, Method, Timings
from tests.server.pictures import CAT, CORNER, EAR
from tests.server.serving import request_of


def test_every_value_of_the_contract_has_a_meaning() -> None:
    assert set(METHODS) == set(pb.Method.values())
    assert set(REFINES) == set(pb.Refinement.values())
    assert set(AS_PNG) == set(pb.MaskEncoding.values())
    assert set(FALLBACKS) == set(Fallback)
    assert {pb.FALLBACK_UNSPECIFIED, *FALLBACKS.values()} == set(pb.Fallback.values())


def test_a_request_is_read_whole() -> None:
    request = request_of(b"bytes", CAT, EAR, method=pb.METHOD_GRABCUT)
    request.refinement = pb.REFINEMENT_NONE
    question = question_of(request)
    assert question.image == b"bytes"
    assert question.instances == (CAT, EAR)
    assert (question.method, question.refine) == (Method.GRABCUT, False)
    assert question_of(pb.PseudoLabelRequest()).method is Method.CFS
    assert question_of(pb.PseudoLabelRequest()).refine


@pytest.mark.parametrize("corner", [float("nan"), float("inf"), -1.0, 0.0])
def test_a_degenerate_box_is_named_by_its_place_and_id(corner: float) -> None:
    request = request_of(b"", CAT, EAR)
    request.instances[1].box.CopyFrom(pb.BoundingBox(x1=corner, y1=9))
    with pytest.raises(InvalidBoxError, match=r"box 1 \(id 'left'\)"):
        question_of(request)


def test_a_box_that_was_forgotten_is_a_degenerate_box() -> None:
    with pytest.raises(InvalidBoxError, match="box 0"):
        question_of(pb.PseudoLabelRequest(instances=[pb.Instance(class_name="cat")]))


@pytest.mark.parametrize("field", ["method", "refinement", "mask_encoding"])
def test_a_value_from_a_later_contract_is_refused(field: str) -> None:
    request = pb.PseudoLabelRequest()
    setattr(request, field, 99)
    read = partial(wanted_of, request, ()) if field == "mask_encoding" else partial(question_of, request)
    with pytest.raises(InvalidRequestError, match=f"{field}: expected one of .*, but got 99"):
        read()


def test_label_map_classes_are_the_networks_then_the_requests() -> None:
    wanted = wanted_of(request_of(b"", EAR, CAT, EAR), ("cat", "dog"))
    assert wanted.class_names == ("cat", "dog", "ear")
    request = request_of(b"", EAR)
    request.class_names.extend(["tail", "ear"])
    assert wanted_of(request, ("cat", "dog")).class_names == ("tail", "ear")
    request.omit_label_map = True
    assert wanted_of(request, ("cat", "dog")).class_names is None


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["ear", "ear"], "must not be repeated"),
        (["cat"], "the instances' class 'ear' is missing"),
        (["ear", *map(str, range(254))], "at most 254 classes, but got 255"),
    ],
)
def test_class_names_that_make_no_label_map_are_refused(names: list[str], problem: str) -> None:
    request = request_of(b"", EAR)
    request.class_names.extend(names)
    with pytest.raises(InvalidRequestError, match=problem):
        wanted_of(request, ())


@pytest.mark.parametrize("as_png", [False, True])
def test_masks_and_label_map_come_back_as_they_were(as_png: bool) -> None:
    answer = _answer()
    response = response_of(answer, Wanted(as_png, ("cat", "dog", "ear")))
    for message, mask in zip(response.masks, answer.masks, strict=True):
        expected = mask.proposal.mask
        height, width = expected.shape
        if as_png:
            picture = Image.open(io.BytesIO(message.png))
            assert picture.mode == "1"
            decoded = np.asarray(picture)
        else:
            decoded = decode_rle(message.coco_rle, height, width)
        np.testing.assert_array_equal(decoded, expected)
        window = message.window
        assert (window.x1 - window.x0, window.y1 - window.y0) == (width, height)
        assert message.area == np.count_nonzero(expected)
        assert message.id == mask.instance.id
    labels = decode_indexed_png(response.label_map_png)
    expected_labels = np.zeros((150, 225), np.uint8)
    for mask, index in zip(answer.masks, (1, 2, 3), strict=True):  # largest first, as they are painted
        expected_labels[mask.proposal.window.slices()][mask.proposal.mask] = index
    np.testing.assert_array_equal(labels, expected_labels)


def test_what_is_not_wanted_is_left_out() -> None:
    response = response_of(_answer(), Wanted(as_png=False, class_names=None))
    assert response.label_map_png == b""
    assert list(response.class_names) == []
    assert response.timings.decode_ms == 1
    assert response.timings.inference_ms == 2.5
    assert response.timings.queue_ms == 0.5
    assert response.timings.queue_ms == 0.5
    assert response.timings.total_ms >= 5 + response.timings.encode_ms > 5


def _answer() -> Answer:
    rng = np.random.default_rng(0)
    masks = []
    for instance in (CAT, CORNER, EAR):
        window = instance.box.clipped(225, 150).window()
        pixels = rng.random((window.height, window.width)) > 0.5
        masks.append(InstanceMask(instance, Proposal(window, pixels, Fallback.NONE), 0.5))
    return Answer(225, 150, tuple(masks), Timings(1, 2, 3, 2.5, 4, 5, 0.5), "sha256:0")
