from __future__ import annotations

import asyncio
import itertools
import sys
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from boxmask_core.densecrf import dense_crf
from boxmask_core.errors import (
    ImageTooLargeError,
    InvalidImageError,
    InvalidRequestError,
    MissingExtraError,
)
from boxmask_server.networks import segmentation_engine as engine_module
from boxmask_server.networks.cuda import CPU
from boxmask_server.networks.segmentation_engine import SegmentationEngine
from boxmask_server.work.host_pool import HostPool
from boxmask_server.work.labeler import Limits
from boxmask_server.work.segmenter import SegmentAnswer, Segmenter, SegmentQuestion
from tests.server.pictures import astronaut, cat, encoded, noise, png
from tests.tiny_networks import MAX_SIDE, STEP

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from numpy.typing import NDArray

    from boxmask_core.bundle import Bundle
    from boxmask_core.engines import CrfEngine
    from boxmask_server.networks.session import Inferred

Result = TypeVar("Result")


def test_a_small_image_gets_the_class_of_the_highest_interpolated_score(
    segmentation: SegmentationEngine,
) -> None:
    answer = _ask(segmentation, SegmentQuestion(png("cat")))
    expected = _probability(segmentation, cat(), (225, 150))
    _assert_labels(answer, expected)
    assert len(np.unique(answer.labelling.classes)) > 1
    assert [canvas.padded for canvas in answer.canvases] == [(256, 160)]
    assert answer.probabilities is None
    assert answer.model_digest == segmentation.digest
    assert answer.class_names == segmentation.class_names


def test_a_large_image_is_resized_and_its_label_map_has_its_own_size(
    segmentation: SegmentationEngine,
) -> None:
    image = noise(700, 400)
    answer = _ask(segmentation, SegmentQuestion(encoded(image), scores=True))
    assert [canvas.resized for canvas in answer.canvases] == [(256, 146)]
    probability = _probability(segmentation, _resized(image, (256, 146)))
    assert answer.probabilities is not None
    np.testing.assert_allclose(answer.probabilities, probability, atol=1e-5)
    full = F.interpolate(torch.from_numpy(probability)[None], size=(400, 700), mode="bilinear")
    _assert_labels(answer, full[0].numpy())


def test_scales_and_mirrored_views_are_averaged_as_probabilities(segmentation: SegmentationEngine) -> None:
    question = SegmentQuestion(png("astronaut"), scales=(0.75, 1.0, 1.5), flip=True, scores=True)
    answer = _ask(segmentation, question)
    expected = []
    for side in (96, 128, 192):
        shown = _resized(astronaut(), (side, side))
        expected.append(_probability(segmentation, shown, (128, 128)))
        mirrored = np.ascontiguousarray(shown[:, ::-1])
        expected.append(_probability(segmentation, mirrored, (128, 128))[:, :, ::-1])
    assert answer.probabilities is not None
    np.testing.assert_allclose(answer.probabilities, np.mean(expected, axis=0), atol=1e-5)
    assert [canvas.resized for canvas in answer.canvases] == [(96, 96), (128, 128), (192, 192)]


def test_scales_that_show_the_image_at_one_size_count_once(segmentation: SegmentationEngine) -> None:
    image = encoded(noise(600, 300))
    once = _ask(segmentation, SegmentQuestion(image, scales=(0.25, 1.0), scores=True))
    more = _ask(segmentation, SegmentQuestion(image, scales=(0.25, 1.0, 1.25, 2.0), scores=True))
    assert once.canvases == more.canvases
    assert once.probabilities is not None
    assert more.probabilities is not None
    np.testing.assert_array_equal(once.probabilities, more.probabilities)


def test_the_crf_sharpens_at_the_size_that_the_network_saw(segmentation: SegmentationEngine) -> None:
    image = noise(300, 120)
    answer = _ask(segmentation, SegmentQuestion(encoded(image), crf=True, scores=True))
    plain = _ask(segmentation, SegmentQuestion(encoded(image), scores=True))
    guide = _resized(image, (256, 102))
    assert plain.probabilities is not None
    assert answer.probabilities is not None
    np.testing.assert_array_equal(answer.probabilities, dense_crf(guide, plain.probabilities))
    assert (answer.labelling.classes != plain.labelling.classes).any()


def test_a_crf_that_is_not_installed_is_said(
    segmentation: SegmentationEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'boxmask\[crf\]'"):
        _ask(segmentation, SegmentQuestion(png("cat"), crf=True), crf="pydensecrf")


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 1000), (STEP, STEP), (MAX_SIDE, MAX_SIDE)])
@pytest.mark.parametrize("scales", [(1.0,), (0.25, 4.0)])
def test_ugly_sizes_get_a_label_map_of_their_own_size(
    segmentation: SegmentationEngine, size: tuple[int, int], scales: tuple[float, ...]
) -> None:
    answer = _ask(segmentation, SegmentQuestion(encoded(noise(*size)), scales=scales, flip=True))
    assert answer.labelling.classes.shape == size[::-1]
    assert answer.labelling.areas.sum() == size[0] * size[1]


@pytest.mark.parametrize(("workers", "batches"), [(1, (1,)), (3, (1,)), (3, (1, 2, 4))])
def test_the_answer_depends_on_the_question_alone(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, workers: int, batches: tuple[int, ...]
) -> None:
    monkeypatch.setitem(engine_module.BATCH_SIZES, CPU, batches)
    engine = SegmentationEngine(bundle, device="cpu", threads=1)
    questions = [
        SegmentQuestion(png("cat"), scores=True),
        SegmentQuestion(png("astronaut"), scales=(0.5, 1.0), flip=True, scores=True),
        SegmentQuestion(encoded(noise(500, 70)), scores=True),
        SegmentQuestion(encoded(noise(41, 300)), scores=True),
    ]
    alone = [_ask(engine, question) for question in questions]

    async def scene(segmenter: Segmenter) -> list[SegmentAnswer]:
        return await asyncio.gather(*(segmenter.segment(question) for question in questions * 5))

    together = _with(engine, scene, workers=workers)
    for answer, expected in zip(together, itertools.cycle(alone), strict=False):
        np.testing.assert_array_equal(answer.probabilities, expected.probabilities)
        np.testing.assert_array_equal(answer.labelling.classes, expected.labelling.classes)


def test_views_of_one_size_share_a_batch_across_questions(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engine_module.BATCH_SIZES, CPU, (1, 2, 4))
    engine = RecordingEngine(bundle)

    async def scene(segmenter: Segmenter) -> None:
        engine.shapes.clear()
        images = [png("astronaut"), encoded(noise(120, 128)), png("cat")]
        await asyncio.gather(*(segmenter.segment(SegmentQuestion(images[i % 3])) for i in range(30)))

    _with(engine, scene)
    assert sum(map(len, engine.shapes)) == 30
    assert all(len(set(shapes)) == 1 for shapes in engine.shapes)
    assert max(map(len, engine.shapes)) > 1


def test_limits_are_checked(segmentation: SegmentationEngine) -> None:
    question = SegmentQuestion(png("cat"))
    with pytest.raises(ImageTooLargeError, match="limit is 100;"):
        _ask(segmentation, question, Limits(max_bytes=100))
    with pytest.raises(ImageTooLargeError, match=r"33750 pixels.*--max-pixels"):
        _ask(segmentation, question, Limits(max_pixels=225 * 150 - 1))
    with pytest.raises(InvalidRequestError, match="scales"):
        _ask(segmentation, SegmentQuestion(png("cat"), scales=(9.0,)))


def test_a_photograph_of_24_megapixels_is_within_the_limits() -> None:
    assert Limits().max_pixels >= 6000 * 4000


@pytest.mark.parametrize("data", [b"", b"GIF89a", png("cat")[: len(png("cat")) // 2]])
def test_broken_bytes_are_named_and_harm_nobody_else(segmentation: SegmentationEngine, data: bytes) -> None:
    good, bad = SegmentQuestion(png("cat")), SegmentQuestion(data, what="broken.png")

    async def scene(segmenter: Segmenter) -> list[SegmentAnswer | BaseException]:
        return await asyncio.gather(*map(segmenter.segment, (good, bad, good)), return_exceptions=True)

    first, broken, second = _with(segmentation, scene)
    assert isinstance(broken, InvalidImageError)
    assert "broken.png" in str(broken)
    assert isinstance(first, SegmentAnswer)
    assert isinstance(second, SegmentAnswer)


def test_a_network_that_fails_for_one_image_fails_that_question_alone(bundle: Bundle) -> None:
    engine = FragileEngine(bundle, device="cpu", threads=1)

    async def scene(segmenter: Segmenter) -> list[SegmentAnswer | BaseException]:
        questions = [SegmentQuestion(png(name)) for name in ("cat", "astronaut", "cat")]
        return await asyncio.gather(*map(segmenter.segment, questions), return_exceptions=True)

    kinds = [type(result) for result in _with(engine, scene)]
    assert kinds == [SegmentAnswer, MemoryError, SegmentAnswer]


def test_a_cancelled_question_frees_what_it_asked_for(bundle: Bundle) -> None:
    engine = RecordingEngine(bundle)
    many = SegmentQuestion(png("cat"), scales=(0.25, 0.5, 0.75, 0.9, 1.0), flip=True)

    async def scene(segmenter: Segmenter) -> None:
        tasks = [asyncio.create_task(segmenter.segment(many)) for _ in range(20)]
        while not engine.shapes:
            await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await segmenter.segment(SegmentQuestion(png("astronaut")))

    _with(engine, scene, workers=1)
    assert len(engine.shapes) < 60


class RecordingEngine(SegmentationEngine):
    """The real engine, and the shapes of the batches that it was given."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle, device="cpu", threads=1)
        self.shapes: list[list[tuple[int, ...]]] = []

    def infer(self, batch: Sequence[NDArray[np.uint8]], *, beside: bool = False) -> list[Inferred]:
        self.shapes.append([picture.shape for picture in batch])
        return super().infer(batch, beside=beside)


class FragileEngine(SegmentationEngine):
    """The real engine on a device that runs out of memory for square images."""

    def infer(self, batch: Sequence[NDArray[np.uint8]], *, beside: bool = False) -> list[Inferred]:
        if any(picture.shape[0] == picture.shape[1] for picture in batch):
            raise MemoryError
        return super().infer(batch, beside=beside)


def _resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """By area where it shrinks, bilinearly where it grows."""
    how = cv2.INTER_AREA if size[0] <= image.shape[1] else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=how).astype(np.uint8)


def _probability(
    engine: SegmentationEngine, shown: NDArray[np.uint8], size: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """By PyTorch: the image padded, its scores interpolated to pixels, cut to the image, resized, softmax."""
    height, width = shown.shape[:2]
    padded = np.empty((-(-height // STEP) * STEP, -(-width // STEP) * STEP, 3), dtype=np.uint8)
    padded[:] = (124, 116, 104)
    padded[:height, :width] = shown
    (scores,) = engine.run([padded])
    if size is None or size == (width, height):
        full = F.interpolate(torch.from_numpy(scores)[None], size=padded.shape[:2], mode="bilinear")
        return full[0, :, :height, :width].softmax(dim=0).numpy()
    assert padded.shape == shown.shape, "cells and pixels of the result start and end together only unpadded"
    full = F.interpolate(torch.from_numpy(scores)[None], size=size[::-1], mode="bilinear")
    return full[0].softmax(dim=0).numpy()


def _assert_labels(answer: SegmentAnswer, expected: NDArray[np.float32]) -> None:
    """The label map is the argmax, but where two classes are equal within rounding; the means are of it."""
    two, one = np.sort(expected, axis=0)[-2:]
    clear = one - two > 1e-4
    assert clear.mean() > 0.9
    labels = answer.labelling.classes
    np.testing.assert_array_equal(labels[clear], expected.argmax(axis=0)[clear])
    for index, mean in enumerate(answer.labelling.means):
        mine = one[labels == index]
        assert answer.labelling.areas[index] == mine.size
        assert mean == pytest.approx(float(mine.mean()) if mine.size else 0.0, abs=1e-4)


def _ask(
    engine: SegmentationEngine,
    question: SegmentQuestion,
    limits: Limits | None = None,
    crf: CrfEngine = "boxmask",
) -> SegmentAnswer:
    async def scene(segmenter: Segmenter) -> SegmentAnswer:
        return await segmenter.segment(question)

    return _with(engine, scene, limits=limits, crf=crf)


def _with(
    engine: SegmentationEngine,
    scene: Callable[[Segmenter], Awaitable[Result]],
    *,
    limits: Limits | None = None,
    workers: int = 2,
    crf: CrfEngine = "boxmask",
) -> Result:
    async def main() -> Result:
        async with HostPool(workers) as pool, Segmenter(engine, pool, limits=limits, crf=crf) as segmenter:
            return await scene(segmenter)

    return asyncio.run(main())
