"""The masks that boxmask makes of a dataset with a known truth, each beside its true IoU."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.object_truth import true_objects
from boxmask_client import Question
from boxmask_convert.labelers.local import open_local_labeler
from boxmask_convert.settings import Settings
from boxmask_core.formats import open_dataset
from boxmask_core.instances import ImageRecord
from boxmask_core.palette import VOID, decode_indexed_png

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from boxmask_client import Answer, Method
    from boxmask_core.grabcut import Proposal
    from boxmask_core.instances import InstanceMask

IN_FLIGHT: Final = 8


@dataclass(frozen=True, slots=True)
class JudgedMask:
    """One mask and what it is really worth.

    Attributes:
        mask: The mask.
        of_class: Its IoU with what has its class inside its box.
        of_object: Its IoU with the one object; NaN where `true_objects` could not recover that.
    """

    mask: InstanceMask
    of_class: float
    of_object: float


@dataclass(frozen=True, slots=True)
class JudgedImage:
    """One image of the dataset.

    Attributes:
        key: As in `ImageRecord`.
        truth: uint8 class map, ``(H, W)``, 255 void.
        masks: Its masks.
    """

    key: str
    truth: NDArray[np.uint8]
    masks: tuple[JudgedMask, ...]


def judged_images(
    data: Path, split: str | None, method: Method, limit: int | None = None
) -> Iterator[JudgedImage]:
    """Makes the masks of a VOC dataset in this process, and judges them.

    Args:
        data: Folder of VOC's layout; its ``SegmentationClass`` holds the truth.
        split: The part of it that is masked, or None for all.
        method: How masks are made.
        limit: Most images, or None for all.

    Yields:
        Every image, in the dataset's order.
    """
    dataset = open_dataset(data, split=split)
    truths = dataset.image_root.parent / "SegmentationClass"
    indices = class_indices(dataset.class_names)
    records = [record for record in dataset if isinstance(record, ImageRecord)][:limit]
    with open_local_labeler(Settings(data, Path(), "coco", method=method)) as labeler:
        waiting: deque[tuple[ImageRecord, Future[Answer]]] = deque()
        for record in records:
            question = Question(record.path, record.instances, method, label_map=False)
            waiting.append((record, labeler.submit(question)))
            if len(waiting) == IN_FLIGHT:
                yield _judged(*waiting.popleft(), truths, indices)
        while waiting:
            yield _judged(*waiting.popleft(), truths, indices)


def class_indices(class_names: Sequence[str]) -> dict[str, int]:
    """Returns the index of every class in a label map."""
    return {name: index for index, name in enumerate(class_names, start=1)}


def iou(mask: NDArray[np.bool_], true: NDArray[np.bool_], known: NDArray[np.bool_]) -> float:
    """Returns the IoU of two masks over the pixels that are known; 1 where neither has one."""
    union = np.count_nonzero((mask | true) & known)
    return float(np.count_nonzero(mask & true & known) / union) if union else 1.0


def _judged(
    record: ImageRecord, answer: Future[Answer], truths: Path, indices: dict[str, int]
) -> JudgedImage:
    truth = decode_indexed_png((truths / f"{record.key}.png").read_bytes())
    masks = answer.result().masks
    of_objects = [math.nan] * len(masks)
    for name in {mask.instance.class_name for mask in masks}:
        places = [place for place, mask in enumerate(masks) if mask.instance.class_name == name]
        windows = [masks[place].proposal.window for place in places]
        for place, true in zip(places, true_objects(truth, indices[name], windows), strict=True):
            if true is not None:
                of_objects[place] = iou(masks[place].proposal.mask, true.mask, true.known)
    return JudgedImage(
        record.key,
        truth,
        tuple(
            JudgedMask(mask, _of_class(mask.proposal, truth, indices[mask.instance.class_name]), of_object)
            for mask, of_object in zip(masks, of_objects, strict=True)
        ),
    )


def _of_class(proposal: Proposal, truth: NDArray[np.uint8], index: int) -> float:
    part = truth[proposal.window.slices()]
    return iou(proposal.mask, part == index, part != VOID)
