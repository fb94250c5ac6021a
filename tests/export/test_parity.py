from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from boxmask_core.errors import ParityError
from boxmask_export.parity import BATCHES, CROPS, check_parity, check_rounding
from boxmask_export.rounding import SMALLEST, halve_weights, rounded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_core.bundle import Bundle
    from boxmask_training.checkpoint import TrainedCfs


@pytest.fixture(scope="module")
def halved(trained: TrainedCfs) -> TrainedCfs:
    return rounded(trained)


@pytest.fixture(scope="module")
def files(exported: dict[str, Bundle]) -> dict[str, Path]:
    return {weights: bundle.network("cfs").file for weights, bundle in exported.items()}


def test_a_faithful_graph_passes_over_both_batch_sizes(
    trained: TrainedCfs, files: dict[str, Path], photographs: Sequence[NDArray[np.uint8]]
) -> None:
    parity = check_parity(trained, files["float32"], photographs)
    assert tuple(parity.errors) == BATCHES == (1, 5)
    assert parity.crops == CROPS
    assert 0 < parity.worst < 1e-5


@pytest.mark.parametrize("name", ["head.weight", "network.normalize.mean", "decoder.3"])
def test_a_graph_with_a_weight_that_is_off_fails(
    name: str,
    trained: TrainedCfs,
    files: dict[str, Path],
    photographs: Sequence[NDArray[np.uint8]],
    tmp_path: Path,
) -> None:
    model = onnx.load(str(files["float32"]))
    tensor = next(t for t in model.graph.initializer if name in t.name and numpy_helper.to_array(t).ndim > 1)
    broken = numpy_helper.to_array(tensor) * np.float32(1.1)
    tensor.CopyFrom(numpy_helper.from_array(broken, tensor.name))
    onnx.save(model, str(tmp_path / "broken.onnx"))
    with pytest.raises(
        ParityError, match=r"ONNX Runtime and PyTorch at batch size 1 differ by .*limit is 1e-03"
    ):
        check_parity(trained, tmp_path / "broken.onnx", photographs)


def test_a_graph_that_answers_nan_fails(
    trained: TrainedCfs, files: dict[str, Path], photographs: Sequence[NDArray[np.uint8]], tmp_path: Path
) -> None:
    model = onnx.load(str(files["float32"]))
    tensor = next(t for t in model.graph.initializer if t.name.endswith("head.weight"))
    nothing = np.full_like(numpy_helper.to_array(tensor), np.nan)
    tensor.CopyFrom(numpy_helper.from_array(nothing, tensor.name))
    onnx.save(model, str(tmp_path / "broken.onnx"))
    with pytest.raises(ParityError, match="differ by nan"):
        check_parity(trained, tmp_path / "broken.onnx", photographs)


def test_large_weights_are_stored_as_float16_and_small_ones_as_they_are(files: dict[str, Path]) -> None:
    model = onnx.load(str(files["float16"]))
    stored = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    kinds = {value.dtype for value in stored if value.size >= SMALLEST}
    assert kinds == {np.dtype(np.float16)}
    assert np.dtype(np.float16) not in {value.dtype for value in stored if value.size < SMALLEST}


def test_the_file_computes_what_pytorch_computes_with_the_same_rounded_weights(
    halved: TrainedCfs, files: dict[str, Path], photographs: Sequence[NDArray[np.uint8]]
) -> None:
    assert check_parity(halved, files["float16"], photographs).worst < 1e-5


def test_only_what_float16_holds_exactly_is_stored_so(files: dict[str, Path], tmp_path: Path) -> None:
    copied = tmp_path / "copy.onnx"
    copied.write_bytes(files["float32"].read_bytes())
    halve_weights(copied)  # weights as trained: float16 holds hardly any
    before, after = (
        {t.name: numpy_helper.to_array(t) for t in onnx.load(str(file)).graph.initializer}
        for file in (files["float32"], copied)
    )
    for name, value in before.items():
        np.testing.assert_array_equal(after.get(name, after.get(f"{name}.half")), value)


def test_rounding_is_measured_apart(
    trained: TrainedCfs, halved: TrainedCfs, files: dict[str, Path], photographs: Sequence[NDArray[np.uint8]]
) -> None:
    error = check_rounding(trained, halved, photographs)
    assert 1e-5 < error < 1e-2
    against_trained = check_parity(trained, files["float16"], photographs, limit=1.0)
    assert against_trained.worst == pytest.approx(error, abs=1e-5)


def test_rounding_that_changes_too_much_fails(
    trained: TrainedCfs, halved: TrainedCfs, photographs: Sequence[NDArray[np.uint8]]
) -> None:
    with pytest.raises(
        ParityError, match=r"float16 weights and the trained ones differ.*without --half-weights"
    ):
        check_rounding(trained, halved, photographs, limit=1e-6)
    network = copy.deepcopy(halved.network)
    torch.nn.init.constant_(network.get_parameter("head.bias"), 5.0)
    with pytest.raises(ParityError, match="the limit is 1e-02"):
        check_rounding(trained, replace(halved, network=network), photographs)


def test_weights_beyond_float16_fail(trained: TrainedCfs, photographs: Sequence[NDArray[np.uint8]]) -> None:
    network = copy.deepcopy(trained.network)
    with torch.no_grad():
        network.get_parameter("decoder.0.conv.0.weight").mul_(1e9)
    huge = replace(trained, network=network)
    with pytest.raises(ParityError):
        check_rounding(huge, rounded(huge), photographs)


def test_rounded_weights_are_what_float16_holds_and_the_original_stays(trained: TrainedCfs) -> None:
    before = copy.deepcopy(trained.network.state_dict())
    network = rounded(trained).network
    assert all(torch.equal(value, before[name]) for name, value in trained.network.state_dict().items())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    large = [weight for weight in network.parameters() if weight.numel() >= SMALLEST]
    assert len(large) == 2
    assert all(torch.equal(weight, weight.half().float()) for weight in large)
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}
