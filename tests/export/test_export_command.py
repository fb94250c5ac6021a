from __future__ import annotations

import contextlib
import copy
import io
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from boxmask_core.bundle import CFS_TASK, MANIFEST, Bundle, file_digest
from boxmask_core.cli import main
from boxmask_core.errors import ParityError
from boxmask_core.palette import voc_palette
from boxmask_export.command import export_cfs
from boxmask_server.engine import CfsEngine, CfsInput
from boxmask_training import checkpoint
from boxmask_training.models.build import build_cfs, load_pretrained
from boxmask_training.settings import CfsSettings
from tests.export.networks import CLASS_NAMES, SIZE, SOURCE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_training.checkpoint import TrainedCfs


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
            "parity at batch 1: ", "parity at batch 5: ", "(limit 1e-03, 10 crops)",
            f"{network.parity_error:.2e}", f"{target}: cfs.onnx, ", "3 classes",
            f"rounding of the weights: {network.rounding_error:.2e} (limit 1e-02)",
        ):  # fmt: skip
            assert part in printed

    @pytest.mark.usefixtures("printed")
    def test_makes_a_bundle_beside_what_lies_there(self, checkpoint_file: Path, target: Path) -> None:
        network = Bundle.load(target).network("cfs")
        assert network.source_checkpoint == file_digest(checkpoint_file)
        assert (network.weights, network.input_size, network.training_data) == ("float16", 32, "photographs")
        assert sorted(path.name for path in target.iterdir()) == ["README.md", MANIFEST, "cfs.onnx"]
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
            CfsInput(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8), box_mask, index)
            for index in (0, 1, 2, None, 0, 1, None)
        ]
        together = engine.run(questions)
        for question, answer in zip(questions, together, strict=True):
            assert engine.run([question])[0].tobytes() == answer.tobytes()

    @pytest.mark.usefixtures("printed")
    def test_does_not_overwrite_unasked(self, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(command) == 1
        assert (
            "there is a bundle already; choose another folder or pass --overwrite" in capsys.readouterr().err
        )


def test_the_manifest_says_what_was_measured(exported: dict[str, Bundle]) -> None:
    for weights, bundle in exported.items():
        network = Bundle.load(bundle.root).network("cfs")
        assert (network.task, network.weights, network.source_checkpoint) == (CFS_TASK, weights, SOURCE)
        assert (network.input_size, network.output_stride, network.opset) == (SIZE, 1, 20)
        assert 0 < network.parity_error < 1e-3
        assert network.digest == file_digest(network.file)
        assert bundle.class_names == CLASS_NAMES
        assert bundle.palette == tuple(tuple(int(v) for v in colour) for colour in voc_palette()[:4])
    assert exported["float32"].network("cfs").rounding_error == 0
    assert 0 < exported["float16"].network("cfs").rounding_error < 1e-2


def test_the_server_computes_with_the_bundle(exported: dict[str, Bundle]) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    box_mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    box_mask[8:56, 8:56] = 1
    answers = [
        CfsEngine(bundle, device="cpu", threads=1).run(
            [CfsInput(pixels, box_mask, index) for index in (0, 1, None)]
        )
        for bundle in exported.values()
    ]
    for full, half in zip(*answers, strict=True):
        assert full.shape == (SIZE, SIZE)
        np.testing.assert_allclose(full, half, atol=1e-2)
    assert not np.array_equal(answers[0][0], answers[0][2])


def test_overwriting_replaces_the_bundle_and_keeps_other_files(exported: dict[str, Bundle]) -> None:
    root = exported["float32"].root  # a bundle of an older schema and a model card lay here
    assert Bundle.load(root) == exported["float32"]
    assert (root / "README.md").read_text() == "the model card"


def test_a_graph_that_fails_its_check_leaves_what_was_there(trained: TrainedCfs, tmp_path: Path) -> None:
    network = copy.deepcopy(trained.network)
    torch.nn.init.constant_(network.head.weight, float("nan"))
    target = tmp_path / "bundle"
    target.mkdir()
    (target / MANIFEST).write_text("the old bundle")
    picture = np.random.default_rng(0).integers(0, 256, (90, 80, 3), dtype=np.uint8)
    with pytest.raises(ParityError, match=r"differ by nan.*no bundle was written"):
        export_cfs(replace(trained, network=network), target, [picture], source=SOURCE)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == [
        "bundle",
        f"bundle/{MANIFEST}",
    ]
    assert (target / MANIFEST).read_text() == "the old bundle"


def test_no_photographs_no_export(
    checkpoint_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert (
        main(["export", str(checkpoint_file), str(tmp_path / "b"), "--images", str(tmp_path / "empty")]) == 1
    )
    assert "the parity check needs photographs" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_a_photograph_that_is_none_is_named(
    checkpoint_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "photographs"
    images.mkdir()
    (images / "broken.jpg").write_bytes(b"no image")
    assert main(["export", str(checkpoint_file), str(tmp_path / "b"), "--images", str(images)]) == 1
    assert "broken.jpg cannot be decoded" in capsys.readouterr().err


def test_a_missing_checkpoint_is_named(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(tmp_path / "none.ckpt"), str(tmp_path / "b"), "--images", str(images)]) == 1
    assert "there is no checkpoint" in capsys.readouterr().err
