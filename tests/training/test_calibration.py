from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from boxmask_core.errors import TrainingError
from boxmask_training import checkpoint
from boxmask_training.calibration import OFFSETS, calibrate, write_calibrated
from boxmask_training.models.build import build_cfs
from boxmask_training.validation import mean_iou, mean_ious
from tests.training.shapes import held_out_shapes

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_training.models.cfs import CFS
    from tests.training.shapes import Shapes


def _biased(bias: float) -> CFS:
    """A network whose logit is steep inside the box and shifted by a bias."""
    torch.manual_seed(0)
    network = build_cfs("efficientnet_lite0", 2).eval()
    with torch.no_grad():
        network.head.weight.mul_(4)
        network.head.bias.fill_(bias)  # type: ignore[union-attr]  # CFS's last layer has one
    return network


@pytest.mark.parametrize("bias", [-1.0, 1.5])
def test_the_offset_is_the_best_of_all_that_were_tried(shapes: Shapes, bias: float) -> None:
    held_out = held_out_shapes(shapes, 1)
    reference = [mean_iou(_biased(bias + offset), held_out, 32) for offset in OFFSETS]
    network = _biased(bias)
    found = calibrate(network, held_out, 32)
    assert found.after == pytest.approx(max(reference), abs=1e-9)
    assert found.before == pytest.approx(reference[OFFSETS.index(0.0)], abs=1e-9)
    assert mean_iou(network, held_out, 32) == pytest.approx(found.after, abs=1e-9)


def test_where_nothing_is_gained_nothing_is_moved(shapes: Shapes) -> None:
    held_out = held_out_shapes(shapes, 1)
    network = _biased(50.0)  # all foreground, whatever the offset
    assert calibrate(network, held_out, 32).offset == 0.0


def test_judging_many_offsets_leaves_the_network_alone(shapes: Shapes) -> None:
    network = _biased(0.3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    mean_ious(network, held_out_shapes(shapes, 1), 32, OFFSETS)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_calibrated_checkpoint_differs_in_the_last_bias_alone(shapes: Shapes, tmp_path: Path) -> None:
    network = _biased(1.5)
    settings = {"backbone": "efficientnet_lite0", "size": 32, "training_data": "shapes"}
    state = {
        "task": "cfs",
        "settings": settings,
        "class_names": ["disc", "square"],
        "averaged": network.state_dict(),
    }
    checkpoint.save(tmp_path / "best.ckpt", state)
    found = write_calibrated(tmp_path / "best.ckpt", tmp_path / "calibrated.ckpt", held_out_shapes(shapes, 2))
    before, after = network.state_dict(), checkpoint.load(tmp_path / "calibrated.ckpt")["averaged"]
    assert {name for name in before if not torch.equal(before[name], after[name])} <= {"head.bias"}
    assert after["head.bias"].item() == pytest.approx(1.5 + found.offset, abs=1e-6)


def test_calibrating_what_is_no_checkpoint_is_refused(shapes: Shapes, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"there is no checkpoint .*best\.ckpt"):
        write_calibrated(tmp_path / "best.ckpt", tmp_path / "out.ckpt", held_out_shapes(shapes, 1))
