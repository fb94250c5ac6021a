"""A server's label map is the in-process one, byte for byte, whatever else is asked at the same time."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from boxmask_client import Client, RejectedError, Segmentation, SegmentQuestion
from boxmask_convert.labelers.local import open_local_segmenter
from boxmask_convert.settings import SegmentSettings
from tests.clients.scenes import CAT, cat, jpeg, png, varied_cat

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_core.bundle import Bundle

QUESTIONS = 96
CLIENTS = 8
WAYS = (
    SegmentQuestion(b""),
    SegmentQuestion(b"", scores=True),
    SegmentQuestion(b"", scales=(0.5, 1.0, 1.25), flip=True),
    SegmentQuestion(b"", flip=True),
)

Fingerprint = tuple[object, ...]


def _fingerprint(answer: Segmentation) -> Fingerprint:
    """All that is answered, but for the timings."""
    classes = tuple(
        (found.name, found.index, found.area, found.mean_score, found.scores_png) for found in answer.classes
    )
    size = answer.width, answer.height
    return size, answer.label_map_png, answer.class_names, classes, answer.views, answer.model_digest


def _questions() -> list[SegmentQuestion]:
    """Sizes of all kinds, from one pixel to beyond the network's longest side, and every way to ask."""
    rng = np.random.default_rng(5)
    questions = []
    for i in range(QUESTIONS):
        pixels = np.tile(varied_cat(i), (3, 2, 1))
        height, width = (int(side) for side in rng.integers(1, [450, 450]))
        image = jpeg(pixels[:height, :width])
        way = WAYS[i % len(WAYS)]
        questions.append(SegmentQuestion(image, way.crf, way.scales, way.flip, way.scores))
    questions[0] = SegmentQuestion(jpeg(cat()[:1, :1]))
    questions[1] = SegmentQuestion(jpeg(cat()), crf=True)
    return questions


def _in_process(questions: list[SegmentQuestion], bundle: Path) -> list[Fingerprint]:
    """One question at a time, in one worker."""
    settings = SegmentSettings((), bundle, bundle=bundle, device="cpu", workers=1)
    with open_local_segmenter(settings) as segmenter:
        return [_fingerprint(segmenter.submit(question).result()) for question in questions]


def test_mixed_sizes_from_eight_clients_get_the_same_answers(server: str, bundle: Bundle) -> None:
    questions = _questions()
    expected = _in_process(questions, bundle.root)
    order = list(range(QUESTIONS))
    random.Random(7).shuffle(order)
    share = QUESTIONS // CLIENTS

    def ask(part: list[int]) -> dict[int, Fingerprint]:
        """Half of them one by one, half over a stream, while boxes are asked about as well."""
        with Client(server) as client:
            client.pseudo_label(png(cat()), [CAT])
            found = {i: _fingerprint(_one(client, questions[i])) for i in part[: share // 2]}
            outcomes = client.stream_segment(((i, questions[i]) for i in part[share // 2 :]), window=3)
            return found | {i: _fingerprint(got) for i, got in outcomes if isinstance(got, Segmentation)}

    with ThreadPoolExecutor(CLIENTS) as pool:
        parts = pool.map(ask, [order[i : i + share] for i in range(0, QUESTIONS, share)])
        served = {i: fingerprint for part in parts for i, fingerprint in part.items()}
    assert served == dict(enumerate(expected))


@pytest.mark.parametrize("broken", [b"", b"no image", jpeg(cat())[:3000]])
def test_a_broken_item_leaves_the_rest_of_its_stream_alone(
    server: str, bundle: Bundle, broken: bytes
) -> None:
    good = SegmentQuestion(jpeg(cat()))
    (expected,) = _in_process([good], bundle.root)
    items = [(i, SegmentQuestion(broken) if i == 2 else good) for i in range(5)]
    with Client(server) as client:
        outcomes = dict(client.stream_segment(items, window=5))
    assert isinstance(outcomes.pop(2), RejectedError)
    assert [_fingerprint(got) for got in outcomes.values() if isinstance(got, Segmentation)] == [expected] * 4


def _one(client: Client, question: SegmentQuestion) -> Segmentation:
    return client.segment(
        question.image,
        crf=question.crf,
        scales=question.scales,
        flip=question.flip,
        scores=question.scores,
    )
