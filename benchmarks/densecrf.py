"""Time, agreement and accuracy of boxmask's DenseCRF against pydensecrf's.

    python -m benchmarks.densecrf --data VOC2012 [--split val] [--bundle DIR] [--images 50]

Both sharpen what the bundle's segmentation network gives for the same images, with the numbers of
DeepLab-v2, ten iterations. pydensecrf is called as its manual does, with all labels; boxmask leaves out
those that cannot win. The two take turns, image by image, on one thread; seconds are those that the thread
was computing, so that other work on the machine tells little. Two threads against one are measured by the
clock, and need two idle cores. The first call is timed in fresh processes, with numba's cache empty and
with it filled.

Ratios: ``speed``, pydensecrf's seconds over boxmask's, all images, and ``speed_median``, of single images;
``agreement``, share of pixels of one label; ``threads_2``, images per second of two threads over one's, and
``threads_2_at_most``, what the machine gave to two threads that share nothing; ``miou_7``, boxmask's mIoU
less pydensecrf's, points.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.publish import publish
from boxmask_core.bundle import Bundle, starter_path
from boxmask_core.densecrf import DEEPLAB_V2, LEAST_PROBABILITY, dense_crf
from boxmask_core.evaluation import ConfusionMatrix
from boxmask_core.palette import decode_indexed_png
from boxmask_core.segmentation import View, labelled, mean_probabilities

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from benchmarks.publish import Value
    from boxmask_core.segmentation import Canvas

    Crf = Callable[[NDArray[np.uint8], NDArray[np.float32]], NDArray[np.float32]]

SEVEN = ("cat", "cow", "dog", "horse", "person", "sheep")
ROUNDS = 3
DIGESTED = bytes(100_000_000)
FIRST_CALL = (375, 500)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One image, and what the network gives for it.

    Attributes:
        image: uint8 RGB, ``(H, W, 3)``, as the CRF sees it.
        probabilities: float32, ``(C, H, W)``.
        canvas: The way back to the image's own size.
        truth: uint8 true class indices at that size.
    """

    image: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    canvas: Canvas
    truth: NDArray[np.uint8]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark.

    Args:
        argv: Arguments.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.densecrf", description=__doc__)
    parser.add_argument("--data", type=Path, help="a VOC2012 folder")
    parser.add_argument("--split", default="val", help="list of images in ImageSets/Segmentation")
    parser.add_argument("--bundle", type=Path, help="holds the segmentation network; by default the starter")
    parser.add_argument("--images", type=int, default=50, help="how many, spread evenly over the list")
    parser.add_argument("--first-call", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.first_call:
        sys.stdout.write(f"{first_call()}\n")
        return 0
    if options.data is None:
        parser.error("--data is needed")
    bundle = Bundle.load(options.bundle or starter_path())
    compare(bundle, samples_of(bundle, options.data, options.split, options.images))
    return 0


def compare(bundle: Bundle, samples: Sequence[Sample]) -> None:
    """Measures everything and prints it."""
    engines: dict[str, Crf] = {"boxmask": dense_crf, "pydensecrf": all_labels}
    names = ("background", *bundle.class_names)
    seven = [0, *(names.index(name) for name in SEVEN)]
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    matrices = {name: ConfusionMatrix(len(names)) for name in engines}
    same = total = 0
    dense_crf(samples[0].image, samples[0].probabilities)  # compiles, or loads what was compiled
    for index, sample in enumerate(samples):
        found = {}
        for name in sorted(engines, reverse=bool(index % 2)):
            found[name], spent = timed(engines[name], sample)
            seconds[name].append(spent)
            matrices[name].update(labelled(found[name], sample.canvas).classes, sample.truth)
        labels = [planes.argmax(axis=0) for planes in found.values()]
        same += int((labels[0] == labels[1]).sum())
        total += labels[0].size
    points = {name: 100 * matrices[name].mean_iou(seven) for name in engines}
    threads_2, at_most = gains_of_two_threads(samples)
    cold, warm = first_calls()
    rows: list[dict[str, Value]] = [
        {
            "engine": name,
            "images": len(samples),
            "median, ms": 1000 * median(seconds[name]),
            "all, s": sum(seconds[name]),
            "mIoU-7": f"{points[name]:.3f}",
            "first call, s": f"{cold:.1f}, cached {warm:.2f}" if name == "boxmask" else "-",
        }
        for name in engines
    ]
    ratios = {
        "speed": sum(seconds["pydensecrf"]) / sum(seconds["boxmask"]),
        "speed_median": median(
            theirs / ours for ours, theirs in zip(seconds["boxmask"], seconds["pydensecrf"], strict=True)
        ),
        "agreement": same / total,
        "threads_2": threads_2,
        "threads_2_at_most": at_most,
        "miou_7": points["boxmask"] - points["pydensecrf"],
    }
    publish("densecrf", rows, ratios)


def samples_of(bundle: Bundle, data: Path, split: str, count: int) -> list[Sample]:
    """Runs the network on images of a VOC folder, the way the server does."""
    from boxmask_server.networks.segmentation_engine import SegmentationEngine
    from boxmask_server.work.segmentation_steps import show
    from boxmask_server.work.segmenter import SegmentQuestion

    engine = SegmentationEngine(bundle, device="cpu", threads=len(os.sched_getaffinity(0)))
    keys = (data / "ImageSets" / "Segmentation" / f"{split}.txt").read_text(encoding="ascii").split()
    samples = []
    for key in keys[:: max(len(keys) // count, 1)][:count]:
        question = SegmentQuestion((data / "JPEGImages" / f"{key}.jpg").read_bytes(), crf=True)
        shown = show(question, engine.buckets, 1 << 26)
        scores = engine.run([picture.pixels for picture in shown.pictures])
        views = [View(planes, picture.canvas) for planes, picture in zip(scores, shown.pictures, strict=True)]
        truth = decode_indexed_png((data / "SegmentationClass" / f"{key}.png").read_bytes())
        if shown.guide is None:
            raise ValueError("a question with a CRF shows the image to it")
        probabilities = mean_probabilities(views, shown.base.resized)
        samples.append(Sample(shown.guide, probabilities, shown.base.unpadded(), truth))
    return samples


def all_labels(image: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Runs pydensecrf with all labels and DeepLab-v2's numbers, called the way its own manual does."""
    from pydensecrf import densecrf

    labels, height, width = probabilities.shape
    field: Any = densecrf.DenseCRF2D(width, height, labels)
    energy = -np.log(np.maximum(probabilities, LEAST_PROBABILITY)).reshape(labels, -1)
    field.setUnaryEnergy(np.ascontiguousarray(energy))
    field.addPairwiseGaussian(sxy=DEEPLAB_V2.gaussian_xy, compat=DEEPLAB_V2.gaussian_weight)
    field.addPairwiseBilateral(
        sxy=DEEPLAB_V2.bilateral_xy,
        srgb=DEEPLAB_V2.bilateral_rgb,
        rgbim=np.ascontiguousarray(image),
        compat=DEEPLAB_V2.bilateral_weight,
    )
    return np.array(field.inference(DEEPLAB_V2.iterations), dtype=np.float32).reshape(probabilities.shape)


def timed(crf: Crf, sample: Sample) -> tuple[NDArray[np.float32], float]:
    """Returns what a CRF gives, and the seconds that this thread computed for it."""
    start = time.thread_time()
    found = crf(sample.image, sample.probabilities)
    return found, time.thread_time() - start


def gains_of_two_threads(samples: Sequence[Sample]) -> tuple[float, float]:
    """Returns work per second of two threads over one: of the CRF, and of a digest that shares nothing.

    Both are medians of several rounds. Where the digest gains little, the machine had no second core to give.
    """

    def sharpen(sample: Sample) -> None:
        dense_crf(sample.image, sample.probabilities)

    def digest(_: Sample) -> None:
        hashlib.sha256(DIGESTED).digest()

    def elapsed(task: Callable[[Sample], None], threads: int) -> float:
        with ThreadPoolExecutor(threads) as pool:
            start = time.perf_counter()
            list(pool.map(task, samples))
            return time.perf_counter() - start

    def gain(task: Callable[[Sample], None]) -> float:
        return elapsed(task, 1) / elapsed(task, 2)

    rounds = [(gain(sharpen), gain(digest)) for _ in range(ROUNDS)]
    return median(crf for crf, _ in rounds), median(most for _, most in rounds)


def first_calls() -> tuple[float, float]:
    """Returns seconds of the first call of a fresh process: with numba's cache empty, and with it filled."""
    command = [sys.executable, "-m", "benchmarks.densecrf", "--first-call"]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        cold, warm = (
            float(
                subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
            )
            for _ in range(2)
        )
    return cold, warm


def first_call() -> float:
    """Returns seconds of this process's first call, numba's import included."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*FIRST_CALL, 3), dtype=np.uint8)
    drawn = rng.dirichlet(np.ones(3), FIRST_CALL).transpose(2, 0, 1).astype(np.float32)
    start = time.perf_counter()
    dense_crf(image, drawn)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
