from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
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
from boxmask_training.models.build import build_cfs
from boxmask_training.settings import CfsSettings
from tests.export.networks import CLASS_NAMES, SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from boxmask_training.checkpoint import TrainedCfs

SOURCE = "sha256:" + "1" * 64


@pytest.fixture
def images(tmp_path: Path, photographs: Sequence[NDArray[np.uint8]]) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for index, picture in enumerate(photographs):
        Image.fromarray(picture).save(folder / f"{index}.png")
    (folder / "notes.txt").write_text("not a photograph")
    return folder


@pytest.fixture
def checkpoint_file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    weights = build_cfs("efficientnet_lite0", len(CLASS_NAMES)).state_dict()
    settings = asdict(CfsSettings(backbone="efficientnet_lite0", size=32)) | {"training_data": "random weights"}
    state = {"task": "cfs", "settings": settings, "class_names": list(CLASS_NAMES), "averaged": weights}
    checkpoint.save(tmp_path / "last.ckpt", state)
    return tmp_path / "last.ckpt"


@pytest.fixture(scope="module")
def exported(
    trained: TrainedCfs, photographs: Sequence[NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Bundle]:
    root = tmp_path_factory.mktemp("bundles")
    return {
        weights: export_cfs(trained, root / weights, photographs, source=SOURCE, half_weights=weights == "float16")[0]
        for weights in ("float32", "float16")
    }


def test_the_command_makes_a_bundle_and_prints_what_it_measured(
    checkpoint_file: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "README.md").write_text("the model card")
    command = ["export", str(checkpoint_file), str(target), "--images", str(images), "--half-weights"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    network = Bundle.load(target).network("cfs")
    for line in (
        "parity at batch 1: ", "parity at batch 5: ", "(limit 1e-03, 10 crops)",
        f"rounding of the weights: {network.rounding_error:.2e} (limit 1e-02)", f"{target}: cfs.onnx, ", "3 classes",
    ):  # fmt: skip
        assert line in printed
    assert network.source_checkpoint == file_digest(checkpoint_file)
    assert (network.weights, network.input_size, network.training_data) == ("float16", 32, "random weights")
    assert sorted(path.name for path in target.iterdir()) == ["README.md", MANIFEST, "cfs.onnx"]
    assert (target / "README.md").read_text() == "the model card"
    assert main(command) == 1
    assert "there is a bundle already; choose another folder or pass --overwrite" in capsys.readouterr().err


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


def test_float16_weights_take_half_of_the_room(exported: dict[str, Bundle]) -> None:
    """Of a network of real size; the tiny one is mostly graph, so its weights alone are counted."""
    parameters = 4 * sum(weight.numel() for weight in _weights(exported["float32"]))
    saved = exported["float32"].network("cfs").file.stat().st_size - exported["float16"].network("cfs").file.stat().st_size
    assert saved == pytest.approx(parameters / 2, rel=0.25)


def test_the_server_computes_with_the_bundle(exported: dict[str, Bundle]) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    box_mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    box_mask[8:56, 8:56] = 1
    answers = [
        CfsEngine(bundle, device="cpu", threads=1).run([CfsInput(pixels, box_mask, index) for index in (0, 1, None)])
        for bundle in exported.values()
    ]
    for full, half in zip(*answers, strict=True):
        assert full.shape == (SIZE, SIZE)
        np.testing.assert_allclose(full, half, atol=1e-2)
    assert not np.array_equal(answers[0][0], answers[0][2])


def test_overwriting_replaces_the_bundle_and_keeps_other_files(
    trained: TrainedCfs, exported: dict[str, Bundle], photographs: Sequence[NDArray[np.uint8]], tmp_path: Path
) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / MANIFEST).write_text(json.dumps({"schema": 0}))
    (target / "README.md").write_text("the model card")
    bundle, _ = export_cfs(trained, target, photographs, source=SOURCE)
    assert bundle.network("cfs").digest == exported["float32"].network("cfs").digest  # the export is repeatable
    assert (target / "README.md").read_text() == "the model card"


def test_a_graph_that_fails_its_check_leaves_no_bundle(
    trained: TrainedCfs, tmp_path: Path
) -> None:
    """Saturated weights overflow float16; the check fails and nothing is written."""
    import copy
    from dataclasses import replace

    network = copy.deepcopy(trained.network)
    with torch.no_grad():
        network.head.weight *= 1e9
    picture = np.random.default_rng(0).integers(0, 256, (90, 80, 3), dtype=np.uint8)
    with pytest.raises(ParityError, match="no bundle was written"):
        export_cfs(replace(trained, network=network), tmp_path / "bundle", [picture], source=SOURCE, half_weights=True)
    assert list(tmp_path.iterdir()) == []


def test_no_photographs_no_export(checkpoint_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["export", str(checkpoint_file), str(tmp_path / "b"), "--images", str(tmp_path / "empty")]) == 1
    assert "the parity check needs photographs" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_a_photograph_that_is_none_is_named(
    checkpoint_file: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "broken.jpg").write_bytes(b"no image")
    assert main(["export", str(checkpoint_file), str(tmp_path / "b"), "--images", str(images)]) == 1
    assert "broken.jpg cannot be decoded" in capsys.readouterr().err


def test_a_missing_checkpoint_is_named(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path / "none.ckpt"), str(tmp_path / "b"), "--images", str(images)]) == 1
    assert "there is no checkpoint" in capsys.readouterr().err


def _weights(bundle: Bundle) -> list[NDArray[np.generic]]: ...
