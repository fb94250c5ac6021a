"""The quality score is judged by what is computed here: a wrong truth or a wrong curve would flatter it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from benchmarks.judged_masks import JudgedImage, JudgedMask, judged_images
from benchmarks.quality import main
from benchmarks.quality_fit import fitted, held_out_scores
from benchmarks.ranking import found_in_worst, rank_correlation
from benchmarks.void_maps import trusted_maps
from boxmask_core.boxes import Box, Window
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.instances import Instance, InstanceMask
from boxmask_core.palette import VOID, encode_indexed_png
from boxmask_core.quality import UNCERTAIN, Signals

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIZE = (60, 90)
CAT, DOG = 8, 12


@pytest.mark.parametrize("seed", range(3))
def test_the_rank_correlation_is_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 6, 40).tolist(), rng.random(40).tolist()
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)


def test_a_score_that_says_the_same_of_all_ranks_nothing() -> None:
    assert rank_correlation([1.0] * 4, [0.1, 0.2, 0.3, 0.4]) == 0.0


def test_the_worst_fifth_holds_what_it_holds() -> None:
    scores = [0.1, 0.9, 0.2, 0.8, 0.5, 0.6, 0.7, 0.3, 0.4, 1.0]
    faults = [1.0, 0.0, 3.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 2.0]
    assert found_in_worst(scores, faults, 0.1) == pytest.approx(1 / 8)
    assert found_in_worst(scores, faults, 0.2) == pytest.approx(4 / 8)
    assert found_in_worst(scores, faults, 0.5) == pytest.approx(6 / 8)
    assert found_in_worst(scores, faults, 1.0) == 1.0


def test_equal_scores_find_no_more_than_chance() -> None:
    assert found_in_worst([0.5] * 10, [1.0, *[0.0] * 9], 0.2) == pytest.approx(0.2)
    assert found_in_worst([0.5, 0.6], [0.0, 0.0], 0.2) == 1.0


def _signals(rng: np.random.Generator, count: int) -> list[Signals]:
    return [
        Signals(float(c), 1.0, 1.0, 0.5, 1, float(s), float(r))
        for c, s, r in zip(*rng.random((3, count)), strict=True)
    ]


def test_the_fit_finds_the_coefficients_that_made_the_data() -> None:
    signals = _signals(np.random.default_rng(0), 3000)
    offset, sure, apart, rival = -1.0, 2.0, 1.5, 0.75
    logits = [
        offset + sure * (s.certainty or 0) + apart * (s.separation or 0) - rival * math.sqrt(s.rivalry or 0)
        for s in signals
    ]
    ious = [1 / (1 + math.exp(-logit)) for logit in logits]
    assert fitted(signals, ious) == pytest.approx([offset, sure, apart, rival], abs=0.05)
    assert rank_correlation(held_out_scores(signals, ious, [i % 5 for i in range(3000)]), ious) > 0.999


def test_a_signal_that_misleads_gets_no_weight() -> None:
    signals = _signals(np.random.default_rng(0), 400)
    ious = [1 - 0.9 * (each.separation or 0) for each in signals]
    assert fitted(signals, ious)[2] == 0.0


def _truth() -> NDArray[np.uint8]:
    """Two cats side by side, between them VOC's void line, and a dog elsewhere; by VOC's own indices."""
    truth = np.zeros(SIZE, dtype=np.uint8)
    truth[10:30, 10:30] = CAT
    truth[10:30, 30:33] = VOID
    truth[10:30, 33:60] = CAT
    truth[40:55, 70:85] = DOG
    return truth


def _voc(root: Path) -> Path:
    """Three images of that truth in VOC's layout, red cats and a blue dog on noise."""
    for folder in ("Annotations", "JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    truth = _truth()
    for seed, key in enumerate(("a", "b", "c")):
        image = np.random.default_rng(seed).integers(60, 130, (*SIZE, 3), dtype=np.uint8)
        image[truth == CAT] = (230, 20, 20)
        image[truth == DOG] = (20, 20, 230)
        Image.fromarray(image).save(root / "JPEGImages" / f"{key}.jpg", quality=95)
        (root / "SegmentationClass" / f"{key}.png").write_bytes(encode_indexed_png(truth))
        annotation = ElementTree.Element("annotation")
        ElementTree.SubElement(annotation, "filename").text = f"{key}.jpg"
        for name, corners in (
            ("cat", (11, 11, 30, 30)),
            ("cat", (34, 11, 60, 30)),
            ("dog", (71, 41, 85, 55)),
        ):
            node = ElementTree.SubElement(annotation, "object")
            ElementTree.SubElement(node, "name").text = name
            box = ElementTree.SubElement(node, "bndbox")
            for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
                ElementTree.SubElement(box, tag).text = str(value)
        ElementTree.ElementTree(annotation).write(root / "Annotations" / f"{key}.xml")
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("a\nb\nc\n")
    return root


def test_filled_boxes_around_rectangles_are_perfect_by_both_truths(tmp_path: Path) -> None:
    images = list(judged_images(_voc(tmp_path), "val", "box"))
    assert [image.key for image in images] == ["a", "b", "c"]
    assert [[mask.of_class for mask in image.masks] for image in images] == [[1.0] * 3] * 3
    assert [[mask.of_object for mask in image.masks] for image in images] == [[1.0] * 3] * 3


def test_the_benchmark_says_how_good_the_score_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(_voc(tmp_path)), "--split", "val", "--limit", "2"]
    assert main([*data, "--methods", "grabcut", "box", "--classes", "background", "cat", "dog"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {row["method"] for row in result["rows"]} == {"grabcut", "box"}
    assert [row["masks"] for row in result["rows"]] == [6] * 12
    names = {"rank_correlation", "of_area", "of_former_score", "found_in_worst_20", "rank_correlation_box"}
    assert names <= result["ratios"].keys()
    assert 0 < result["ratios"]["coverage_at_default"] <= 1


def _judged(corners: tuple[int, int, int, int], name: str, quality: float) -> JudgedMask:
    window = Window(*corners)
    mask = np.ones((window.height, window.width), dtype=np.bool_)
    instance = Instance(Box(*map(float, corners)), name)
    return JudgedMask(InstanceMask(instance, Proposal(window, mask, Fallback.NONE), quality), 1.0, 1.0)


def test_void_maps_count_what_is_left_and_how_good_it_is() -> None:
    truth = np.zeros((10, 20), dtype=np.uint8)
    truth[:, :5] = 1
    truth[0, 19] = VOID
    good = _judged((0, 0, 5, 10), "cat", 0.9)
    bad = _judged((10, 0, 20, 10), "cat", UNCERTAIN - 0.01)
    rows = trusted_maps([JudgedImage("a", truth, (good, bad))], {"cat": 1, "dog": 2}, None)
    first = rows[0]
    assert (first["void below"], first["masks kept"], first["coverage"]) == (0.0, 1.0, 1.0)
    assert first["mean IoU"] == pytest.approx((50 / 149 + 50 / 149) / 2)
    row = next(row for row in rows if row["void below"] == UNCERTAIN)
    assert (row["masks kept"], row["mean IoU"]) == (0.5, 1.0)
    assert row["coverage"] == pytest.approx(100 / 199)
    assert row["gain over void"] == pytest.approx((1 - 50 / 149) / (99 / 199))
