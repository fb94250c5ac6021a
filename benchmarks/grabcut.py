"""How fast GrabCut is against OpenCV's, and how good.

``python -m benchmarks.grabcut --data VOC2012 [--split val] [--bundle DIR] [--images N]``

The peer is `cv2.grabCut` as it is commonly called: on the whole image, five iterations. *Coarse* starts from
the box, *refine* from the trimap of CFS's probability. Box by box, every engine in turn cuts on the one
thread of this process; what is counted is that thread's processor time, so that other work on the machine
tells little.

Ratios: ``speed_coarse`` and ``speed_refine`` are the peer's time over ours, summed over all boxes, and
``_median`` that of single boxes; ``iou_refine`` is the mean IoU of our refined masks with the peer's. mIoU-7
is that of the composited label maps against the true ones, void left out, over background, cat, cow, dog,
horse, sheep and person.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from time import thread_time
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks.publish import publish
from boxmask_core.bundle import Bundle, starter_path
from boxmask_core.compositing import compose
from boxmask_core.crops import network_crop, probability_in_image
from boxmask_core.evaluation import ConfusionMatrix
from boxmask_core.formats import open_dataset
from boxmask_core.formats.voc import VOC_CLASSES
from boxmask_core.grabcut import (
    BACKGROUND_BELOW,
    FOREGROUND_ABOVE,
    MIN_FILL,
    Fallback,
    Proposal,
    coarse_proposal,
    refine_proposal,
)
from boxmask_core.images import decode
from boxmask_core.instances import ImageRecord, InstanceMask
from boxmask_core.palette import decode_indexed_png
from boxmask_core.warm_up import warm_up
from boxmask_server.networks.cfs_engine import CfsEngine, CfsInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from boxmask_core.boxes import Box, Window

    Image = NDArray[np.uint8]
    Belief = tuple[NDArray[np.float32], Window]
    Way = Callable[[Image, Box, Belief], Proposal]

INDICES = {name: index + 1 for index, name in enumerate(VOC_CLASSES)}
SEVEN = [0, *(INDICES[name] for name in ("cat", "cow", "dog", "horse", "sheep", "person"))]
PEER_ITERATIONS = 5


def main(argv: Sequence[str]) -> int:
    """Runs the benchmark.

    Args:
        argv: Command-line arguments.
    """
    arguments = parser().parse_args(argv)
    cv2.setNumThreads(1)
    warm_up()
    dataset = open_dataset(arguments.data, split=arguments.split)
    records = [record for record in dataset if isinstance(record, ImageRecord)][: arguments.images]
    bundle = Bundle.load(arguments.bundle or starter_path())
    engine = CfsEngine(bundle, device="cpu", threads=1)
    lanes = {name: Lane() for name in WAYS}
    for record in records:
        image = decode(record.path.read_bytes())
        answers = beliefs(image, record, engine)
        for instance, belief in zip(record.instances, answers, strict=True):
            for name, way in WAYS.items():
                lanes[name].run(way, image, instance.box, belief)
        truth_path = arguments.data / "SegmentationClass" / f"{record.path.stem}.png"
        truth = decode_indexed_png(truth_path.read_bytes())
        for lane in lanes.values():
            lane.judge(record, truth)
    rows: list[dict[str, str | int | float]] = [
        {
            "what": name,
            "boxes": len(lane.seconds),
            "ms a box": 1e3 * statistics.mean(lane.seconds),
            "median ms": 1e3 * statistics.median(lane.seconds),
            "times as fast": sum(lanes[PEER[name]].seconds) / sum(lane.seconds),
            "IoU with peer": lane.agreement(lanes[PEER[name]]),
            "mIoU-7": f"{100 * lane.matrix.mean_iou(SEVEN):.2f}",
        }
        for name, lane in lanes.items()
    ]
    publish("grabcut", rows, ratios(lanes))
    return 0


def parser() -> argparse.ArgumentParser:
    """Builds the command line."""
    out = argparse.ArgumentParser(prog="python -m benchmarks.grabcut", description=__doc__)
    out.add_argument("--data", type=Path, required=True, help="a VOCdevkit/VOC2012")
    out.add_argument("--split", default="val", help="image set with true label maps")
    out.add_argument("--bundle", type=Path, help="bundle; default: the starter")
    out.add_argument("--images", type=int, help="only the first so many")
    return out


@dataclass(slots=True)
class Lane:
    """What one way of cutting takes, and what it gives."""

    seconds: list[float] = field(default_factory=list)
    proposals: list[Proposal] = field(default_factory=list)
    matrix: ConfusionMatrix = field(default_factory=lambda: ConfusionMatrix(len(VOC_CLASSES) + 1))

    def run(self, way: Way, image: Image, box: Box, belief: Belief) -> None:
        """Cuts one box."""
        start = thread_time()
        proposal = way(image, box, belief)
        self.seconds.append(thread_time() - start)
        self.proposals.append(proposal)

    def judge(self, record: ImageRecord, truth: NDArray[np.uint8]) -> None:
        """Counts the label map of the image of which the boxes were cut last."""
        height, width = truth.shape
        proposals = self.proposals[len(self.proposals) - len(record.instances) :]
        pairs = zip(record.instances, proposals, strict=True)
        masks = [InstanceMask(instance, proposal, 0.0) for instance, proposal in pairs]
        self.matrix.update(compose(width, height, masks, INDICES).classes, truth)

    def agreement(self, other: Lane) -> float:
        """Returns the mean IoU of the masks."""
        pairs = zip(self.proposals, other.proposals, strict=True)
        return statistics.mean(iou(mine.mask, theirs.mask) for mine, theirs in pairs)


def ratios(lanes: dict[str, Lane]) -> dict[str, float]:
    """Returns what is compared over time."""
    out = {}
    for task, ours in (("coarse", "coarse, boxmask"), ("refine", "refine, boxmask")):
        peer = lanes[PEER[ours]].seconds
        times = lanes[ours].seconds
        out[f"speed_{task}"] = sum(peer) / sum(times)
        out[f"speed_{task}_median"] = statistics.median(p / t for p, t in zip(peer, times, strict=True))
    out["iou_refine"] = lanes["refine, boxmask"].agreement(lanes[PEER["refine, boxmask"]])
    return out


def iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Returns the IoU of two masks, 1 where both are empty."""
    union = np.count_nonzero(first | second)
    return float(np.count_nonzero(first & second) / union) if union else 1.0


def beliefs(image: Image, record: ImageRecord, engine: CfsEngine) -> list[Belief]:
    """Returns CFS's probability of every box, and where it lies."""
    if not record.instances:
        return []
    crops = [network_crop(image, instance.box, engine.input_size) for instance in record.instances]
    inputs = [
        CfsInput(crop.pixels, crop.box_mask, engine.label(instance.class_name))
        for crop, instance in zip(crops, record.instances, strict=True)
    ]
    size = image.shape[1], image.shape[0]
    answers = zip(engine.run(inputs), crops, strict=True)
    return [probability_in_image(answer, crop.window, size) for answer, crop in answers]


def whole_image_coarse(image: Image, box: Box, _: Belief) -> Proposal:
    """The peer: `cv2.grabCut` in the box, on the whole image."""
    height, width = image.shape[:2]
    window = box.clipped(width, height).window().clipped(width, height)
    trimap = np.zeros((height, width), dtype=np.uint8)
    trimap[window.slices()] = cv2.GC_PR_FGD
    return _whole_image(image, trimap, window, np.ones((window.height, window.width), dtype=np.bool_))


def whole_image_refine(image: Image, box: Box, belief: Belief) -> Proposal:
    """The peer: `cv2.grabCut` under CFS's trimap, on the whole image; CFS's own mask where it fails."""
    height, width = image.shape[:2]
    window = box.clipped(width, height).window().clipped(width, height)
    probability = belief[0][window.relative_to(belief[1]).slices()]
    trimap = np.zeros((height, width), dtype=np.uint8)
    inside = trimap[window.slices()]
    inside[:] = cv2.GC_PR_FGD
    inside[probability > FOREGROUND_ABOVE] = cv2.GC_FGD
    inside[probability < BACKGROUND_BELOW] = cv2.GC_BGD
    return _whole_image(image, trimap, window, probability > 0.5)


def _whole_image(
    image: Image, trimap: NDArray[np.uint8], window: Window, instead: NDArray[np.bool_]
) -> Proposal:
    if trimap.all() or not trimap.any():  # OpenCV refuses to learn from nothing
        return Proposal(window, instead, Fallback.EMPTY_BACKGROUND)
    cv2.setRNGSeed(0)
    bgr = np.ascontiguousarray(image[:, :, ::-1])
    models = np.zeros((1, 65)), np.zeros((1, 65))
    try:
        cv2.grabCut(bgr, trimap, (0, 0, 0, 0), *models, PEER_ITERATIONS, cv2.GC_INIT_WITH_MASK)
    except cv2.error:  # no foreground is left
        return Proposal(window, instead, Fallback.EMPTY_FOREGROUND)
    mask = np.asarray(trimap[window.slices()] & 1 == 1)
    if mask.mean() < MIN_FILL:
        return Proposal(window, instead, Fallback.SMALL_MASK)
    return Proposal(window, mask, Fallback.NONE)


WAYS: dict[str, Way] = {
    "coarse, OpenCV, whole image": whole_image_coarse,
    "coarse, OpenCV, crop": lambda image, box, _: coarse_proposal(image, box, engine="opencv"),
    "coarse, boxmask": lambda image, box, _: coarse_proposal(image, box),
    "refine, OpenCV, whole image": whole_image_refine,
    "refine, OpenCV, crop": lambda image, box, belief: refine_proposal(image, box, *belief, engine="opencv"),
    "refine, boxmask": lambda image, box, belief: refine_proposal(image, box, *belief),
}
PEER = {name: f"{name.split(',')[0]}, OpenCV, whole image" for name in WAYS}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
