"""Answers that break the contract are errors, not crashes and not wrong masks."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from boxmask.v1 import labeling_pb2 as pb
from boxmask_client import InternalError, Question
from boxmask_client.messages import to_answer, to_request
from boxmask_core.errors import InvalidBoxError, InvalidMaskError
from boxmask_core.grabcut import Fallback
from boxmask_core.quality import Signals
from boxmask_core.rle import encode_rle
from tests.clients.scenes import CAT, EAR


def _mask(**changes: object) -> pb.InstanceMask:
    pixels = np.array([[True, False, True], [False, True, True]])
    fields: dict[str, object] = {
        "window": pb.PixelWindow(x0=5, y0=7, x1=8, y1=9),
        "coco_rle": encode_rle(pixels),
        "quality": 0.5,
        "fallback": pb.FALLBACK_SMALL_MASK,
    }
    return pb.InstanceMask(**(fields | changes))  # type: ignore[arg-type]  # the point is wrong fields


def test_a_mask_comes_back_with_its_window_quality_and_fallback() -> None:
    answer = to_answer(pb.PseudoLabelResponse(width=20, height=10, masks=[_mask()]), [CAT])
    (mask,) = answer.masks
    assert mask.instance is CAT
    assert mask.quality == 0.5
    assert mask.proposal.fallback is Fallback.SMALL_MASK
    assert mask.proposal.mask.tolist() == [[True, False, True], [False, True, True]]
    assert answer.label_map is None


@pytest.mark.parametrize(
    "signals",
    [
        Signals(0.1, 0.2, 0.3, 0.4, 5, 0.6, 0.7),
        Signals(None, None, 1 / 3, 0.0, 0),
        Signals(0.0, 0.0, 0.0, 0.0, 0, 0.0, 0.0),
    ],
)
def test_signals_come_back_to_the_last_bit_and_what_is_not_known_stays_unknown(signals: Signals) -> None:
    known = {name: value for name, value in asdict(signals).items() if value is not None}
    (mask,) = to_answer(pb.PseudoLabelResponse(masks=[_mask(signals=pb.Signals(**known))]), [CAT]).masks
    assert mask.signals == signals


def test_an_older_server_says_nothing_of_signals() -> None:
    (mask,) = to_answer(pb.PseudoLabelResponse(masks=[_mask()]), [CAT]).masks
    assert mask.signals is None


@pytest.mark.parametrize("rung", Fallback)
def test_every_fallback_has_a_value_on_the_wire(rung: Fallback) -> None:
    value = pb.Fallback.Value(f"FALLBACK_{rung.name}")
    (mask,) = to_answer(pb.PseudoLabelResponse(masks=[_mask(fallback=value)]), [CAT]).masks
    assert mask.proposal.fallback is rung


@pytest.mark.parametrize("masks", [[], [_mask()], [_mask()] * 3])
def test_another_number_of_masks_than_asked_for_is_an_error(masks: list[pb.InstanceMask]) -> None:
    with pytest.raises(InternalError, match="expected 2 masks"):
        to_answer(pb.PseudoLabelResponse(masks=masks), [CAT, EAR])


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (_mask(fallback=pb.FALLBACK_UNSPECIFIED), InternalError),
        (_mask(fallback=77), InternalError),
        (pb.InstanceMask(window=pb.PixelWindow(x1=1, y1=1), fallback=pb.FALLBACK_NONE), InternalError),
        (_mask(window=pb.PixelWindow(x0=5, y0=7, x1=5, y1=9)), InvalidBoxError),
        (_mask(window=pb.PixelWindow(x0=5, y0=7, x1=9, y1=9)), InvalidMaskError),
        (_mask(coco_rle=b"\xff\x00"), InvalidMaskError),
    ],
)
def test_a_mask_that_breaks_the_contract_is_an_error(broken: pb.InstanceMask, error: type[Exception]) -> None:
    with pytest.raises(error):
        to_answer(pb.PseudoLabelResponse(masks=[broken]), [CAT])


def test_a_question_says_all_that_was_asked() -> None:
    question = Question(b"image", [CAT, EAR], "grabcut", False, ("ear", "cat"), label_map=False)
    request = to_request(question)
    assert request.image == b"image"
    assert [instance.id for instance in request.instances] == ["0", "1"]
    assert [instance.class_name for instance in request.instances] == ["cat", "ear"]
    assert (request.instances[0].box.x0, request.instances[0].box.y1) == (CAT.box.x0, CAT.box.y1)
    assert request.method == pb.METHOD_GRABCUT
    assert request.refinement == pb.REFINEMENT_NONE
    assert list(request.class_names) == ["ear", "cat"]
    assert request.omit_label_map
