from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from boxmask_core.boxes import Box
from boxmask_core.images import decode
from boxmask_core.instances import ImageRecord, Instance
from boxmask_core.palette import decode_indexed_png, encode_indexed_png
from boxmask_training.models.build import build_cfs
from boxmask_training.validation import HeldOut, mean_iou, predict
from tests.clients.scenes import png
from tests.training.shapes import CLASS_NAMES, held_out_shapes

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_training.models.cfs import CFS
    from tests.training.shapes import Shapes


def _network(answer: str) -> CFS:
    """CFS whose answer is known: the whole crop, or the box mask itself."""
    torch.manual_seed(0)
    network = build_cfs("efficientnet_lite0", 2).eval()
    third, last = network.get_submodule("decoder.2"), network.get_submodule("decoder.3")
    with torch.no_grad():
        for part in (third, last, network.head):
            for name, weight in part.named_parameters():
                weight.fill_(1.0 if name == "conv.1.weight" else 0.0)
        if answer == "crop":
            network.get_parameter("head.bias").fill_(9.0)
        else:
            last.get_parameter("constraint.box.weight")[0, 0, 1, 1] = 1
            last.get_parameter("conv.0.weight")[0, 0, 1, 1] = 1
            network.head.weight[0, 0] = 20
            network.get_parameter("head.bias").fill_(-10)
    return network


def test_a_network_that_takes_all_is_judged_as_the_filled_boxes(shapes: Shapes) -> None:
    held_out = held_out_shapes(shapes)
    overlap, union = np.zeros(3), np.zeros(3)
    for record in held_out.records:
        truth = decode_indexed_png((held_out.truth_root / f"{record.key}.png").read_bytes())
        painted = np.zeros_like(truth)
        for instance in record.instances:
            painted[instance.box.window().slices()] = 1 + CLASS_NAMES.index(instance.class_name)
        for index in range(3):
            overlap[index] += np.sum((truth == index) & (painted == index))
            union[index] += np.sum((truth == index) | (painted == index))
    assert mean_iou(_network("crop"), held_out, 32) == pytest.approx(np.mean(overlap / union), abs=1e-9)


def test_only_the_judged_classes_and_background_count(shapes: Shapes) -> None:
    held_out = held_out_shapes(shapes)
    squares = mean_iou(_network("crop"), replace(held_out, judged=("square",)), 32)
    discs = mean_iou(_network("crop"), replace(held_out, judged=("disc",)), 32)
    assert squares > discs + 0.05


def test_a_judged_class_that_the_truth_lacks_does_not_spoil_the_mean(shapes: Shapes) -> None:
    only_disc = held_out_shapes(shapes, 1)
    both, one = (
        mean_iou(_network("crop"), replace(only_disc, judged=names), 32) for names in (CLASS_NAMES, ("disc",))
    )
    assert both == one


@pytest.mark.parametrize(
    "box", [Box(20, 30, 90, 80), Box(-60, 30, 70, 80), Box(20, -50, 60, 160), Box(50.3, 20.6, 170, 90.2)]
)
def test_an_answer_lands_where_its_box_lies_even_at_the_images_edge(box: Box, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 110, 3), dtype=np.uint8)
    (tmp_path / "a.png").write_bytes(png(image))
    truth = np.zeros((100, 110), dtype=np.uint8)
    truth[box.clipped(110, 100).window().slices()] = 1
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "a.png").write_bytes(encode_indexed_png(truth))
    record = ImageRecord("a", tmp_path / "a.png", (Instance(box, "disc"),))
    held_out = HeldOut((record,), tmp_path / "truth", CLASS_NAMES, ("disc",))
    assert mean_iou(_network("box"), held_out, 96) > 0.95


def test_an_image_without_boxes_is_all_background(shapes: Shapes, tmp_path: Path) -> None:
    held_out = held_out_shapes(shapes, 1)
    empty = replace(held_out.records[0], instances=())
    (tmp_path / f"{empty.key}.png").write_bytes(encode_indexed_png(np.zeros((96, 96), dtype=np.uint8)))
    assert mean_iou(_network("crop"), HeldOut((empty,), tmp_path, CLASS_NAMES, ()), 32) == 1.0


def test_a_class_that_the_network_does_not_know_gets_the_empty_class_vector(shapes: Shapes) -> None:
    torch.manual_seed(0)
    network = build_cfs("efficientnet_lite0", 2).eval()
    torch.nn.init.normal_(network.get_parameter("decoder.3.constraint.label.weight"))
    record = held_out_shapes(shapes, 1).records[0]
    image = decode(record.path.read_bytes())
    indices = {"disc": 1, "square": 2}
    answers = {}
    for name in ("disc", "square", "sphere"):
        asked = replace(record, instances=(replace(record.instances[0], class_name=name),))
        with torch.no_grad():
            answers[name] = predict(network, image, asked, indices, 32)
    assert answers["sphere"].shape == (1, 32, 32)
    torch.nn.init.zeros_(network.get_parameter("decoder.3.constraint.label.weight"))
    with torch.no_grad():
        np.testing.assert_array_equal(answers["sphere"], predict(network, image, asked, indices, 32))
    assert len({answer.tobytes() for answer in answers.values()}) == 3
