"""A server's answer is the in-process answer, byte for byte, whatever else is asked at the same time."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest

from boxmask.v1 import labeling_pb2 as pb
from boxmask.v1 import labeling_pb2_grpc as pb_grpc
from boxmask_client import Answer, Client, Method, Question
from boxmask_client.messages import to_request
from boxmask_convert.labelers.local import open_local_labeler
from boxmask_convert.settings import Settings
from boxmask_core.boxes import Box
from boxmask_core.instances import Instance
from boxmask_server.networks.cfs_engine import CfsEngine
from boxmask_server.wire.converters import question_of, response_of, wanted_of
from boxmask_server.work.host_pool import HostPool
from boxmask_server.work.labeler import PseudoLabeler
from tests.clients.scenes import CAT, EAR, cat, jpeg, png, varied_cat

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_core.bundle import Bundle

QUESTIONS = 200
CLIENTS = 8
METHODS: tuple[Method, ...] = ("cfs", "cfs", "cfs", "grabcut", "box")

Fingerprint = tuple[object, ...]


def _fingerprint(answer: Answer) -> Fingerprint:
    """All that is answered, but for the timings."""
    masks = tuple(
        (
            mask.instance,
            mask.proposal.window,
            mask.proposal.fallback,
            mask.quality,
            mask.signals,
            mask.proposal.mask.tobytes(),
        )
        for mask in answer.masks
    )
    return answer.width, answer.height, answer.model_digest, masks


def _questions() -> list[Question]:
    """Images, numbers of boxes, classes and methods of all kinds."""
    rng = np.random.default_rng(5)
    images = [jpeg(varied_cat(seed)) for seed in range(20)]
    questions = []
    for i in range(QUESTIONS):
        corners = rng.uniform(0, [180, 100], (rng.integers(0, 4), 2))
        sides = rng.uniform(8, 60, corners.shape)
        instances = tuple(
            Instance(Box(x, y, x + w, y + h), str(rng.choice(["cat", "dog", "zebra"])), id=str(j))
            for j, ((x, y), (w, h)) in enumerate(zip(corners.tolist(), sides.tolist(), strict=True))
        )
        method = METHODS[i % len(METHODS)]
        questions.append(Question(images[i % 20], instances, method, refine=i % 3 > 0, label_map=False))
    return questions


def _in_process(questions: list[Question], bundle: Path) -> list[Fingerprint]:
    """One question at a time, in one worker."""
    settings = Settings(bundle, bundle, "voc", bundle=bundle, device="cpu", workers=1)
    with open_local_labeler(settings) as labeler:
        return [_fingerprint(labeler.submit(question).result()) for question in questions]


@pytest.mark.parametrize("method", ["cfs", "grabcut", "box"])
def test_one_answer_is_the_same_bytes(server: str, bundle: Bundle, method: str) -> None:
    request = to_request(Question(png(cat()), [CAT, EAR]))
    request.method = pb.Method.Value(f"METHOD_{method.upper()}")

    async def in_process() -> pb.PseudoLabelResponse:
        engine = CfsEngine(bundle, device="cpu", threads=1)
        async with HostPool(1) as pool, PseudoLabeler(engine, pool) as labeler:
            answer = await labeler.pseudo_label(question_of(request))
        return response_of(answer, wanted_of(request, bundle.class_names))

    with grpc.insecure_channel(server) as channel:
        served = pb_grpc.LabelingServiceStub(channel).PseudoLabel(request)
    local = asyncio.run(in_process())
    for response in (served, local):
        response.ClearField("timings")
    assert (served.bundle, served.version) != ("", "")
    served.ClearField("bundle")
    served.ClearField("version")
    assert served.label_map_png
    assert served.SerializeToString(deterministic=True) == local.SerializeToString(deterministic=True)


def test_a_shuffled_stream_from_eight_clients_gets_the_same_answers(server: str, bundle: Bundle) -> None:
    questions = _questions()
    expected = _in_process(questions, bundle.root)
    order = list(range(QUESTIONS))
    random.Random(7).shuffle(order)
    share = QUESTIONS // CLIENTS

    def ask(part: list[int]) -> dict[int, Fingerprint]:
        with Client(server) as client:
            outcomes = client.stream_pseudo_label(((i, questions[i]) for i in part), window=6)
            return {i: _fingerprint(answer) for i, answer in outcomes if isinstance(answer, Answer)}

    with ThreadPoolExecutor(CLIENTS) as pool:
        parts = pool.map(ask, [order[i : i + share] for i in range(0, QUESTIONS, share)])
        served = {i: fingerprint for part in parts for i, fingerprint in part.items()}
    assert served == dict(enumerate(expected))
