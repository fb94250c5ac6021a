"""Every stage of a conversion by itself."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from boxmask_core.compositing import compose
from boxmask_core.crops import Crop, network_crop, probability_in_image
from boxmask_core.grabcut import refine_proposal
from boxmask_core.images import decode
from boxmask_core.instances import ImageRecord, InstanceMask
from boxmask_core.palette import encode_indexed_png
from boxmask_server.networks.cfs_engine import CfsEngine, CfsInput
from boxmask_server.networks.cores import CFS_THREADS, one_thread_each

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from boxmask_core.bundle import Bundle
    from boxmask_core.grabcut import Proposal
    from boxmask_core.instances import Instance

    Image = NDArray[np.uint8]

Item = TypeVar("Item")
Result = TypeVar("Result")


def stage_seconds(records: Sequence[ImageRecord], bundle: Bundle) -> dict[str, float]:
    """Runs decode, crop, network, refine and encode one after the other over all images.

    Each has all cores, as it would have them if the others cost nothing.

    Args:
        records: Images and boxes.
        bundle: Holds the network ``cfs``.

    Returns:
        Seconds by stage, in the pipeline's order.
    """
    cores = len(os.sched_getaffinity(0))
    one_thread_each()
    engine = CfsEngine(bundle, device="cpu", threads=CFS_THREADS)
    indices = {name: index for index, name in enumerate(bundle.class_names)}
    numbers = {name: index + 1 for name, index in indices.items()}
    seconds: dict[str, float] = {}
    with ThreadPoolExecutor(cores) as pool:
        stopwatch = _Stopwatch(pool, seconds)
        images = stopwatch.run("decode", _decode, records)
        pairs = zip(images, records, strict=True)
        boxes = [(image, instance) for image, record in pairs for instance in record.instances]
        crops = stopwatch.run("crop", lambda box: network_crop(box[0], box[1].box, engine.input_size), boxes)
        inputs = [
            CfsInput(crop.pixels, crop.box_mask, engine.label(instance.class_name))
            for crop, (_, instance) in zip(crops, boxes, strict=True)
        ]
        start = perf_counter()
        probabilities = list(pool.map(lambda one: engine.run([one])[0], inputs))
        seconds["network"] = perf_counter() - start
        questions = list(zip(boxes, crops, probabilities, strict=True))
        _refine(questions[0])  # compiles, or loads what was compiled
        proposals = stopwatch.run("refine", _refine, questions)
        answers = zip(images, _by_image(records, proposals), strict=True)
        stopwatch.run("encode", lambda answer: _encode(*answer, numbers), list(answers))
    return seconds


@dataclass(frozen=True, slots=True)
class _Stopwatch:
    pool: ThreadPoolExecutor
    seconds: dict[str, float]

    def run(self, stage: str, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        start = perf_counter()
        results = list(self.pool.map(work, items))
        self.seconds[stage] = perf_counter() - start
        return results


def _decode(record: ImageRecord) -> Image:
    return decode(record.path.read_bytes())


def _refine(question: tuple[tuple[Image, Instance], Crop, NDArray[np.float32]]) -> Proposal:
    (image, instance), crop, answer = question
    probability, window = probability_in_image(answer, crop.window, (image.shape[1], image.shape[0]))
    return refine_proposal(image, instance.box, probability, window)


def _encode(image: Image, masks: list[InstanceMask], numbers: dict[str, int]) -> bytes:
    height, width = image.shape[:2]
    return encode_indexed_png(compose(width, height, masks, numbers).classes)


def _by_image(records: Sequence[ImageRecord], proposals: Sequence[Proposal]) -> list[list[InstanceMask]]:
    remaining = iter(proposals)
    return [
        [InstanceMask(instance, next(remaining), 0.0) for instance in record.instances] for record in records
    ]
