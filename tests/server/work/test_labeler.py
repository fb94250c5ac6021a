from __future__ import annotations

import asyncio
import itertools
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pytest

from boxmask_core.boxes import Box
from boxmask_core.crops import network_crop, probability_in_image
from boxmask_core.errors import (
    DeadlineError,
    ImageTooLargeError,
    InvalidBoxError,
    InvalidImageError,
    InvalidRequestError,
    TooManyBoxesError,
)
from boxmask_core.grabcut import cfs_proposal, coarse_proposal, filled_box, refine_proposal
from boxmask_core.instances import Instance
from boxmask_core.quality import measured, score
from boxmask_server.networks.cfs_engine import CfsEngine, CfsInput
from boxmask_server.work import labeler as labeler_module
from boxmask_server.work.host_pool import HostPool
from boxmask_server.work.host_steps import cfs_mask, open_image
from boxmask_server.work.labeler import Answer, Limits, Method, PseudoLabeler, Question
from boxmask_server.work.urgency import Priority, Urgency
from tests.server.pictures import CAT, CORNER, EAR, HEAD, cat, png

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from numpy.typing import NDArray

    from boxmask_core.bundle import Bundle
    from boxmask_core.instances import InstanceMask
    from boxmask_server.networks.session import Device, Inferred

Result = TypeVar("Result")


def test_cfs_masks_are_those_of_the_steps_done_by_hand(engine: CfsEngine) -> None:
    image = cat()
    answer = _ask(engine, Question(png("cat"), (CAT, EAR, CORNER)))
    for mask, class_name in zip(answer.masks, ("cat", "zebra", "dog"), strict=True):
        box = mask.instance.box
        crop = network_crop(image, box, engine.input_size)
        (probability,) = engine.run([CfsInput(crop.pixels, crop.box_mask, engine.label(class_name))])
        part, visible = probability_in_image(probability, crop.window, (225, 150))
        expected = refine_proposal(image, box, part, visible)
        assert mask.proposal.window == expected.window
        assert mask.proposal.fallback == expected.fallback
        np.testing.assert_array_equal(mask.proposal.mask, expected.mask)
        assert 0 <= mask.quality <= 1
    assert (answer.width, answer.height) == (225, 150)
    assert answer.model_digest == engine.digest
    assert [mask.instance for mask in answer.masks] == [CAT, EAR, CORNER]


def test_every_mask_says_what_its_quality_was_judged_by(engine: CfsEngine) -> None:
    (mask,) = _ask(engine, Question(png("cat"), (CAT,))).masks
    crop = network_crop(cat(), CAT.box, engine.input_size)
    (probability,) = engine.run([CfsInput(crop.pixels, crop.box_mask, engine.label("cat"))])
    part, visible = probability_in_image(probability, crop.window, (225, 150))
    assert mask.signals == measured(cat(), CAT.box, mask.proposal, probability=part, window=visible)
    assert mask.quality == score(mask.signals, mask.proposal.fallback)
    for method in (Method.GRABCUT, Method.BOX):
        (mask,) = _ask(None, Question(png("cat"), (CAT,), method)).masks
        assert mask.signals == measured(cat(), CAT.box, mask.proposal)


def test_a_box_that_is_asked_for_twice_is_trusted_less(engine: CfsEngine) -> None:
    (alone,) = _ask(engine, Question(png("cat"), (CAT,))).masks
    *twins, far = _ask(engine, Question(png("cat"), (CAT, CAT, CORNER))).masks
    assert [twin.signals and twin.signals.rivalry for twin in twins] == [1.0, 1.0]
    assert twins[0].quality == twins[1].quality < alone.quality
    np.testing.assert_array_equal(twins[0].proposal.mask, alone.proposal.mask)
    assert far.signals is not None
    assert far.quality == score(far.signals, far.proposal.fallback)


def test_without_refinement_the_mask_is_the_networks_own(engine: CfsEngine) -> None:
    image = cat()
    (mask,) = _ask(engine, Question(png("cat"), (CAT,), refine=False)).masks
    crop = network_crop(image, CAT.box, engine.input_size)
    (probability,) = engine.run([CfsInput(crop.pixels, crop.box_mask, engine.label("cat"))])
    expected = cfs_proposal(image, CAT.box, *probability_in_image(probability, crop.window, (225, 150)))
    np.testing.assert_array_equal(mask.proposal.mask, expected.mask)


def test_grabcut_and_box_need_no_network() -> None:
    (cut,) = _ask(None, Question(png("cat"), (CAT,), Method.GRABCUT)).masks
    np.testing.assert_array_equal(cut.proposal.mask, coarse_proposal(cat(), CAT.box).mask)
    answer = _ask(None, Question(png("cat"), (CORNER,), Method.BOX))
    assert answer.masks[0].proposal.window == filled_box((225, 150), CORNER.box).window
    assert answer.masks[0].proposal.mask.all()
    assert answer.model_digest == ""


def test_cfs_without_a_network_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="needs a network"):
        _ask(None, Question(png("cat"), (CAT,)))


def test_an_image_without_boxes_has_an_empty_answer(engine: CfsEngine) -> None:
    answer = _ask(engine, Question(png("cat"), ()))
    assert (answer.width, answer.height, answer.masks) == (225, 150, ())


@pytest.mark.parametrize(("workers", "max_batch"), [(1, 1), (2, 3), (4, 16)])
def test_the_answer_depends_on_the_question_alone(engine: CfsEngine, workers: int, max_batch: int) -> None:
    questions = [
        Question(png("cat"), (CAT, EAR)),
        Question(png("cat"), (CORNER,), refine=False),
        Question(png("astronaut"), (HEAD,)),
        Question(png("cat"), (EAR, CORNER), Method.GRABCUT),
    ]
    alone = [_ask(engine, question) for question in questions]

    async def scene(labeler: PseudoLabeler) -> list[Answer]:
        return await asyncio.gather(*(labeler.pseudo_label(question) for question in questions * 3))

    together = _with(engine, scene, workers=workers, max_batch=max_batch)
    for answer, expected in zip(together, itertools.cycle(alone), strict=False):
        assert _content(answer) == _content(expected)


def test_boxes_of_many_questions_share_a_batch(bundle: Bundle) -> None:
    engine = RecordingEngine(bundle)

    async def scene(labeler: PseudoLabeler) -> None:
        engine.sizes.clear()
        question = Question(png("astronaut"), (HEAD, HEAD), refine=False)
        await asyncio.gather(*(labeler.pseudo_label(question) for _ in range(20)))

    _with(engine, scene, workers=2, max_batch=8)
    assert sum(engine.sizes) == 40
    assert max(engine.sizes) > 2


@pytest.mark.parametrize(
    "outside",
    [Box(225, 0, 300, 50), Box(-50, -50, 0, 0), Box(0, 150, 20, 1e9), Box(1e12, 0, 2e12, 5)],
)
def test_a_box_outside_the_image_is_named(engine: CfsEngine, outside: Box) -> None:
    with pytest.raises(InvalidBoxError, match=r"box 1 \(id 'lost'\): the box lies outside") as caught:
        _ask(engine, Question(png("cat"), (CAT, Instance(outside, "cat", id="lost"))))
    assert caught.value.index == 1


@pytest.mark.parametrize(
    "box",
    [Box(0, 0, 225, 150), Box(-1e6, -1e6, 1e6, 1e6), Box(3, 3, 3.2, 3.2), Box(224.5, 149.5, 300, 300)],
)
@pytest.mark.parametrize("method", list(Method))
def test_ugly_boxes_get_a_mask(engine: CfsEngine, box: Box, method: Method) -> None:
    (mask,) = _ask(engine, Question(png("cat"), (Instance(box, "cat"),), method)).masks
    assert mask.proposal.mask.any()


def test_limits_are_checked(engine: CfsEngine) -> None:
    question = Question(png("cat"), (CAT, EAR))
    with pytest.raises(ImageTooLargeError, match="limit is 100;"):
        _ask(engine, question, Limits(max_bytes=100))
    with pytest.raises(ImageTooLargeError, match=r"33750 pixels.*--max-pixels"):
        _ask(engine, question, Limits(max_pixels=225 * 150 - 1))
    with pytest.raises(TooManyBoxesError, match="2 boxes, the limit is 1"):
        _ask(engine, question, Limits(max_boxes=1))


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", png("cat")[: len(png("cat")) // 2]])
def test_broken_bytes_are_named_and_harm_nobody_else(engine: CfsEngine, data: bytes) -> None:
    async def scene(labeler: PseudoLabeler) -> list[Answer | BaseException]:
        good, bad = Question(png("cat"), (CAT,)), Question(data, (CAT,), what="broken.png")
        return await asyncio.gather(*map(labeler.pseudo_label, (good, bad, good)), return_exceptions=True)

    first, broken, second = _with(engine, scene)
    assert isinstance(broken, InvalidImageError)
    assert "broken.png" in str(broken)
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)


def test_a_cancelled_question_frees_what_it_asked_for(bundle: Bundle) -> None:
    engine = RecordingEngine(bundle)

    async def scene(labeler: PseudoLabeler) -> None:
        engine.sizes.clear()
        task = asyncio.create_task(labeler.pseudo_label(Question(png("cat"), (CAT,) * 200)))
        while not engine.sizes:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await labeler.pseudo_label(Question(png("astronaut"), (HEAD,)))

    _with(engine, scene, workers=1, max_batch=2)
    assert sum(engine.sizes) < 50


def test_a_host_stage_that_crashes_fails_its_question_alone(
    engine: CfsEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fragile(image: NDArray[np.uint8], instance: Instance, *rest: Any, **how: Any) -> InstanceMask:
        if instance == EAR:
            raise FloatingPointError
        return cfs_mask(image, instance, *rest, **how)

    monkeypatch.setattr(labeler_module, "cfs_mask", fragile)

    async def scene(labeler: PseudoLabeler) -> list[Answer | BaseException]:
        questions = [Question(png("cat"), (CAT, instance)) for instance in (CORNER, EAR, CORNER)]
        return await asyncio.gather(*map(labeler.pseudo_label, questions), return_exceptions=True)

    kinds = [type(result) for result in _with(engine, scene, workers=2)]
    assert kinds == [Answer, FloatingPointError, Answer]


def test_the_networks_work_is_told_apart_from_waiting_for_it(engine: CfsEngine) -> None:
    timings = _ask(engine, Question(png("cat"), (CAT, EAR, CORNER))).timings
    assert timings.inference_ms > 0
    assert 0 < timings.network_ms <= timings.total_ms
    assert _ask(engine, Question(png("cat"), (CAT,), Method.BOX)).timings.inference_ms == 0


def test_on_the_cpu_the_network_runs_in_the_pools_threads(bundle: Bundle) -> None:
    engine = ThreadTellingEngine(bundle, device="cpu", threads=1)
    _ask(engine, Question(png("cat"), (CAT, EAR)))
    assert engine.names
    assert all(name.startswith("boxmask-host") for name in engine.names)


def test_a_network_that_fails_for_one_box_fails_that_question_alone(bundle: Bundle) -> None:
    engine = FragileEngine(bundle, device="cpu", threads=1)

    async def scene(labeler: PseudoLabeler) -> list[Answer | BaseException]:
        questions = [Question(png("cat"), (instance,)) for instance in (CAT, EAR, CORNER, CAT)]
        return await asyncio.gather(*map(labeler.pseudo_label, questions), return_exceptions=True)

    kinds = [type(result) for result in _with(engine, scene, workers=4)]
    assert kinds == [Answer, MemoryError, Answer, Answer]


def test_an_interactive_question_overtakes_the_bulk_that_came_before_it(engine: CfsEngine) -> None:
    bulk = Question(png("cat"), (CAT, EAR), urgency=Urgency(Priority.BULK))
    urgent = Question(png("cat"), (CAT, EAR))

    async def scene(labeler: PseudoLabeler) -> list[str]:
        order: list[str] = []

        async def ask(question: Question, name: str) -> None:
            await labeler.pseudo_label(question)
            order.append(name)

        tasks = [asyncio.create_task(ask(bulk, f"bulk {n}")) for n in range(20)]
        await asyncio.sleep(0.01)
        tasks.append(asyncio.create_task(ask(urgent, "urgent")))
        await asyncio.gather(*tasks)
        return order

    order = _with(engine, scene, workers=1, max_batch=1)
    assert order.index("urgent") < 6


def test_a_question_whose_deadline_is_past_costs_nothing(bundle: Bundle) -> None:
    engine = RecordingEngine(bundle)
    late = Question(png("cat"), (CAT,), urgency=Urgency(deadline=time.monotonic() - 1))

    async def scene(labeler: PseudoLabeler) -> None:
        with pytest.raises(DeadlineError):
            await labeler.pseudo_label(late)
        engine.sizes.clear()
        assert (await labeler.pseudo_label(Question(png("cat"), (CAT,)))).masks

    _with(engine, scene)
    assert engine.sizes == [1]


def test_decoded_images_are_bounded_by_their_pixels(
    engine: CfsEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 0
    real = open_image

    async def main() -> None:
        async with HostPool(4, open_pixels=2 * 225 * 150) as pool, PseudoLabeler(engine, pool) as labeler:

            def counting(*args: Any) -> Any:
                nonlocal most
                most = max(most, pool.pixels.taken)
                return real(*args)

            monkeypatch.setattr(labeler_module, "open_image", counting)
            await asyncio.gather(*(labeler.pseudo_label(Question(png("cat"), (CAT,))) for _ in range(8)))
            assert pool.pixels.taken == 0

    asyncio.run(main())
    assert most == 2 * 225 * 150


def test_waiting_is_told_apart_from_work(engine: CfsEngine) -> None:
    async def scene(labeler: PseudoLabeler) -> list[Answer]:
        questions = [Question(png("cat"), (CAT, EAR)) for _ in range(6)]
        return await asyncio.gather(*map(labeler.pseudo_label, questions))

    answers = _with(engine, scene, workers=1)
    assert max(answer.timings.queue_ms for answer in answers) > 0
    for answer in answers:
        timings = answer.timings
        assert 0 <= timings.queue_ms <= timings.total_ms


class RecordingEngine(CfsEngine):
    """The real engine, and the sizes of the batches that it was given."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle, device="cpu", threads=1)
        self.sizes: list[int] = []

    def infer(self, batch: Sequence[CfsInput]) -> list[Inferred]:
        self.sizes.append(len(batch))
        return super().infer(batch)


class ThreadTellingEngine(CfsEngine):
    """The real engine, and the threads that it ran in."""

    def __init__(self, bundle: Bundle, *, device: Device, threads: int) -> None:
        super().__init__(bundle, device=device, threads=threads)
        self.names: set[str] = set()

    def infer(self, batch: Sequence[CfsInput]) -> list[Inferred]:
        self.names.add(threading.current_thread().name)
        return super().infer(batch)


class FragileEngine(CfsEngine):
    """The real engine on a device that runs out of memory for boxes of unknown classes."""

    def infer(self, batch: Sequence[CfsInput]) -> list[Inferred]:
        if any(not item.label.any() and item.pixels.any() for item in batch):
            raise MemoryError
        return super().infer(batch)


def _ask(engine: CfsEngine | None, question: Question, limits: Limits | None = None) -> Answer:
    async def scene(labeler: PseudoLabeler) -> Answer:
        return await labeler.pseudo_label(question)

    return _with(engine, scene, limits=limits)


def _with(
    engine: CfsEngine | None,
    scene: Callable[[PseudoLabeler], Awaitable[Result]],
    *,
    limits: Limits | None = None,
    workers: int = 2,
    max_batch: int = 4,
) -> Result:
    async def main() -> Result:
        async with (
            HostPool(workers) as pool,
            PseudoLabeler(engine, pool, limits=limits, max_batch=max_batch) as labeler,
        ):
            return await scene(labeler)

    return asyncio.run(main())


def _content(answer: Answer) -> tuple[object, ...]:
    masks = []
    for mask in answer.masks:
        proposal = mask.proposal
        content = (proposal.window, proposal.fallback, proposal.mask.tobytes())
        masks.append((mask.instance, mask.quality, content))
    return answer.width, answer.height, answer.model_digest, masks
