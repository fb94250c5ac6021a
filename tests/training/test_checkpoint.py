from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from boxmask_core.errors import TrainingError
from boxmask_training import checkpoint
from boxmask_training.models.build import build_cfs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "last.ckpt"
    checkpoint.save(path, {"task": "cfs", "weights": torch.arange(1000.0)})
    return path


def test_a_checkpoint_comes_back_as_it_was(file: Path) -> None:
    state = checkpoint.load(file)
    assert state["task"] == "cfs"
    assert torch.equal(state["weights"], torch.arange(1000.0))
    assert [path.name for path in file.parent.iterdir()] == ["last.ckpt"]


def test_a_write_that_fails_leaves_the_old_checkpoint(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(AttributeError, match="pickle"):
        checkpoint.save(file, {"weights": torch.zeros(9), "unwritable": lambda: 0})
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["last.ckpt"]


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"there is no checkpoint .*last\.ckpt"):
        checkpoint.load(tmp_path / "last.ckpt")


@pytest.mark.parametrize("content", [b"", b"garbage" * 99, b"PK\x05\x06" + bytes(18), b"\x80\x02K\x01."])
def test_a_foreign_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(TrainingError, match=r"x\.ckpt is not a boxmask checkpoint"):
        checkpoint.load(tmp_path / "x.ckpt")


def test_a_checkpoint_that_was_cut_off_is_refused_wherever_it_ends(file: Path) -> None:
    content = file.read_bytes()
    for length in range(0, len(content), 97):
        file.write_bytes(content[:length])
        with pytest.raises(TrainingError, match="not a boxmask checkpoint"):
            checkpoint.load(file)


def test_a_damaged_checkpoint_is_refused_or_unharmed(file: Path) -> None:
    content = file.read_bytes()
    weights = content.index(torch.arange(1000.0).numpy().tobytes())
    for place in range(0, len(content), 53):
        file.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        if weights <= place < weights + 4000:
            with pytest.raises(TrainingError, match="checksum"):
                checkpoint.load(file)
            continue
        try:
            state = checkpoint.load(file)
        except TrainingError:
            continue
        assert torch.equal(
            state["weights"], torch.arange(1000.0)
        )  # what was hit is filling between the parts


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    torch.save({"format": checkpoint.FORMAT, "call": print}, tmp_path / "x.ckpt")
    with pytest.raises(TrainingError, match="not a boxmask checkpoint"):
        checkpoint.load(tmp_path / "x.ckpt")


@pytest.mark.parametrize("state", [{"format": checkpoint.FORMAT + 1}, {"task": "cfs"}, [1, 2]])
def test_another_format_is_refused(state: object, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "x.ckpt")
    with pytest.raises(TrainingError, match=r"x\.ckpt to be a checkpoint of format 1; train again"):
        checkpoint.load(tmp_path / "x.ckpt")


def test_another_task_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "x.ckpt", {"task": "lgsa"})
    with pytest.raises(TrainingError, match="to hold a CFS network, but got 'lgsa'"):
        checkpoint.load_cfs(tmp_path / "x.ckpt")


def test_the_averaged_weights_are_what_is_read_back(tmp_path: Path) -> None:
    network, averaged = build_cfs("efficientnet_lite0", 2), build_cfs("efficientnet_lite0", 2)
    settings = {"backbone": "efficientnet_lite0", "size": 64, "training_data": "shapes"}
    state = {"network": network.state_dict(), "averaged": averaged.state_dict()}
    names = ["disc", "square"]
    checkpoint.save(tmp_path / "x.ckpt", {"task": "cfs", "settings": settings, "class_names": names, **state})
    trained = checkpoint.load_cfs(tmp_path / "x.ckpt")
    assert (trained.class_names, trained.input_size) == (("disc", "square"), 64)
    assert trained.training_data == "shapes"
    assert not trained.network.training
    wanted = averaged.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in trained.network.state_dict().items())
