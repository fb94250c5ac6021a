from __future__ import annotations

import contextlib
import io
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from boxmask_core.bundle import CFS, LGSA, MANIFEST, AnySize, Bundle, FixedSize, file_digest
from boxmask_core.cli import main
from boxmask_server.networks.cfs_engine import CfsEngine, CfsInput
from boxmask_server.networks.segmentation_engine import SegmentationEngine
from boxmask_training import checkpoint
from boxmask_training.cfs_settings import CfsSettings
from boxmask_training.lgsa_settings import LgsaSettings
from boxmask_training.models.build import build_cfs, build_deeplab, load_pretrained
from tests.bundles import write_tiny_bundle
from tests.export.networks import CLASS_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, photographs: Sequence[NDArray[np.uint8]]) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for index, picture in enumerate(photographs):
        Image.fromarray(picture).save(folder / f"{index}.png")
    (folder / "notes.txt").write_text("not a photograph")
    return folder


@pytest.fixture(scope="module")
def checkpoint_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What training leaves of a network of real size."""
    torch.manual_seed(0)
    network = build_cfs("efficientnet_lite0", len(CLASS_NAMES))
    load_pretrained(network, "imagenet")
    for name, weight in network.named_parameters():
        if "constraint" in name:
            torch.nn.init.normal_(weight, 0, 0.05)
    settings = asdict(CfsSettings(backbone="efficientnet_lite0", size=32)) | {"training_data": "photographs"}
    weights = network.state_dict()
    state = {"task": "cfs", "settings": settings, "class_names": list(CLASS_NAMES), "averaged": weights}
    file = tmp_path_factory.mktemp("run") / "last.ckpt"
    checkpoint.save(file, state)
    return file


@pytest.fixture(scope="module")
def segmenter_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What training leaves of a segmentation network of real size."""
    torch.manual_seed(0)
    settings = LgsaSettings(backbone="efficientnet_lite0", output_stride=16, modules=1)
    network = build_deeplab(
        "efficientnet_lite0", len(CLASS_NAMES) + 1, output_stride=16, modules=1, walk=True
    )
    load_pretrained(network, "imagenet")
    torch.nn.init.normal_(network.get_parameter("attention.0.h.weight"), 0, 0.05)
    state = {
        "task": "lgsa", "settings": asdict(settings) | {"training_data": "pseudo-labels"},
        "class_names": list(CLASS_NAMES), "network": network.state_dict(),
    }  # fmt: skip
    file = tmp_path_factory.mktemp("run") / "last.ckpt"
    checkpoint.save(file, state)
    return file


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the command puts its bundle; a model card lies there already."""
    folder = tmp_path_factory.mktemp("target") / "bundle"
    folder.mkdir()
    (folder / "README.md").write_text("the model card")
    return folder


@pytest.fixture(scope="module")
def command(checkpoint_file: Path, images: Path, target: Path) -> list[str]:
    return ["export", str(checkpoint_file), str(target), "--images", str(images), "--half-weights"]


@pytest.fixture(scope="module")
def printed(command: list[str]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(command) == 0
    return out.getvalue()


class TestTheCommand:
    def test_prints_what_it_measured(self, printed: str, target: Path) -> None:
        network = Bundle.load(target).network("cfs")
        for part in (
            "parity at batch 1, 10 crops: ", "parity at batch 5, 10 crops: ", "(limit 1e-03)",
            f"{network.parity_error:.2e}", f"{target}: cfs.onnx, ", "3 classes",
            f"rounding of the weights: {network.rounding_error:.2e} (limit 1e-02)",
        ):  # fmt: skip
            assert part in printed

    @pytest.mark.usefixtures("printed")
    def test_makes_a_bundle_beside_what_lies_there(self, checkpoint_file: Path, target: Path) -> None:
        network = Bundle.load(target).network("cfs")
        assert network.source_checkpoint == file_digest(checkpoint_file)
        assert (network.weights, network.input) == ("float16", FixedSize(32))
        assert network.training_data == "photographs"
        assert sorted(path.name for path in target.iterdir()) == [
            "README.md",
            MANIFEST,
            "cfs.onnx",
            "cfs.probe.npz",
        ]
        assert (target / "README.md").read_text() == "the model card"
        assert list(target.parent.iterdir()) == [target]  # no stage is left beside it

    @pytest.mark.usefixtures("printed")
    def test_halves_the_file(self, checkpoint_file: Path, target: Path) -> None:
        parameters = sum(p.numel() for p in checkpoint.load_cfs(checkpoint_file).network.parameters())
        assert (target / "cfs.onnx").stat().st_size == pytest.approx(2 * parameters, rel=0.05)

    @pytest.mark.usefixtures("printed")
    def test_gives_a_graph_whose_answers_do_not_depend_on_the_batch(self, target: Path) -> None:
        engine = CfsEngine(Bundle.load(target), device="cpu", threads=1)
        rng = np.random.default_rng(0)
        box_mask = np.zeros((32, 32), dtype=np.uint8)
        box_mask[5:27, 4:28] = 1
        questions = [
            CfsInput(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8), box_mask, engine.label(name))
            for name in (*engine.class_names, "zebra", *engine.class_names[:2], "zebra")
        ]
        together = engine.run(questions)
        for question, answer in zip(questions, together, strict=True):
            assert engine.run([question])[0].tobytes() == answer.tobytes()

    @pytest.mark.usefixtures("printed")
    def test_does_not_overwrite_unasked(self, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(command) == 2
        assert (
            "there is a network 'cfs' already; choose another folder or pass --overwrite"
            in capsys.readouterr().err
        )


@pytest.mark.slow
@pytest.mark.usefixtures("printed")
def test_a_segmentation_network_joins_the_bundle(
    segmenter_file: Path, images: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Bundle.load(target).network(CFS)
    command = ["export", str(segmenter_file), str(target), "--images", str(images), "--half-weights"]
    assert main([*command, "--max-side", "512"]) == 0
    bundle = Bundle.load(target)
    network = bundle.network(LGSA)
    assert (bundle.network(CFS), network.input, network.output_stride) == (before, AnySize(32, 512), 16)
    assert (network.weights, network.training_data) == ("float16", "pseudo-labels")
    assert network.source_checkpoint == file_digest(segmenter_file)
    parameters = sum(p.numel() for p in checkpoint.load_lgsa(segmenter_file).network.parameters())
    assert network.file.stat().st_size == pytest.approx(2 * parameters, rel=0.05)
    printed = capsys.readouterr().out
    for part in (
        "parity at batch 1, 160 x 96 pixels: ", "parity at batch 3, 320 x 320 pixels: ", "(limit 1e-03)",
        f"rounding of the weights: {network.rounding_error:.2e} (limit 5e-02)",
        f"{target}: lgsa.onnx, ",
    ):  # fmt: skip
        assert part in printed
    (scores,) = SegmentationEngine(bundle, device="cpu", threads=1).run([np.zeros((64, 96, 3), np.uint8)])
    assert scores.shape == (len(CLASS_NAMES) + 1, 4, 6)


def _refusal(command: Sequence[object], capsys: pytest.CaptureFixture[str], status: int = 2) -> str:
    assert main(["export", *map(str, command)]) == status
    return capsys.readouterr().err


def test_a_bundle_of_other_classes_is_refused(
    segmenter_file: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle", [CFS])
    before = (bundle / MANIFEST).read_bytes()
    error = _refusal([segmenter_file, bundle, "--images", images], capsys)
    assert "its network cfs is for the classes cat, dog, person, but the checkpoint is for cat, cup" in error
    assert (bundle / MANIFEST).read_bytes() == before


@pytest.mark.parametrize("side", [0, -32, 31, 500])
def test_a_longest_side_that_is_no_multiple_of_the_step_is_refused(
    side: int, segmenter_file: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = _refusal([segmenter_file, tmp_path / "b", "--images", images, f"--max-side={side}"], capsys)
    assert f"expected --max-side to be a positive multiple of 32, but got {side}" in error
    assert not (tmp_path / "b").exists()


def test_a_longest_side_for_a_network_of_one_size_is_refused(
    checkpoint_file: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = _refusal([checkpoint_file, tmp_path / "b", "--images", images, "--max-side", 512], capsys)
    assert "takes images of 32 x 32 pixels only; leave out --max-side 512" in error


def test_a_checkpoint_of_no_network_is_refused(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint.save(tmp_path / "odd.ckpt", {"task": "captions"})
    error = _refusal([tmp_path / "odd.ckpt", tmp_path / "b", "--images", images], capsys, status=1)
    assert "odd.ckpt to hold a CFS or an LGSA-DeepLab network, but got 'captions'" in error


def test_no_photographs_no_export(
    checkpoint_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert (
        main(["export", str(checkpoint_file), str(tmp_path / "b"), "--images", str(tmp_path / "empty")]) == 2
    )
    assert "the parity check needs photographs" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_a_photograph_that_is_none_is_named(
    checkpoint_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "photographs"
    images.mkdir()
    (images / "broken.jpg").write_bytes(b"no image")
    assert main(["export", str(checkpoint_file), str(tmp_path / "b"), "--images", str(images)]) == 2
    assert "broken.jpg cannot be decoded" in capsys.readouterr().err


def test_a_missing_checkpoint_is_named(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(tmp_path / "none.ckpt"), str(tmp_path / "b"), "--images", str(images)]) == 1
    assert "there is no checkpoint" in capsys.readouterr().err
