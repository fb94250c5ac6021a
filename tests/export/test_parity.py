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
from boxmask_export.graph import export_graph
from boxmask_export.parity import BATCHES, CROPS, check_parity, check_rounding
from boxmask_export.rounding import halve_weights, rounded
from tests.export.networks import CLASS_NAMES, SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_training.checkpoint import TrainedCfs


@pytest.fixture(scope="module")
def halved(trained: TrainedCfs) -> TrainedCfs:
    return rounded(trained)


@pytest.fixture(scope="module")
def files(trained: TrainedCfs, halved: TrainedCfs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The graph as trained, the rounded graph in float32, and the same stored in float16."""
    folder = tmp_path_factory.mktemp("parity")
    out = {name: folder / f"{name}.onnx" for name in ("trained", "rounded", "half")}
    export_graph(trained.network, len(CLASS_NAMES), SIZE, out["trained"])
    export_graph(halved.network, len(CLASS_NAMES), SIZE, out["rounded"])
    out["half"].write_bytes(out["rounded"].read_bytes())
    halve_weights(out["half"])
    return out


def test_a_faithful_graph_passes_over_both_batch_sizes(
    trained: TrainedCfs, files: dict[str, Path], photographs: Sequence[NDArray[np.uint8]]
) -> None:
    parity = check_parity(trained, files["trained"], photographs)
    assert tuple(parity.errors) == BATCHES == (1, 5)
    assert parity.crops == CROPS
    assert 0 < parity.worst < 1e-5


@pytest.mark.parametrize("name", ["head.weight", "network.normalize.mean", "decoder.3"])
def test_a_graph_with_a_weight_that_is_off_fails(
    name: str, trained: TrainedCfs, files: dict[str, Path], photographs: Sequence[NDArray[np.uint8]], tmp_path: Path
) -> None:
    model = onnx.load(str(files["trained"]))
    tensor = next(t for t in model.graph.initializer if name in t.name and numpy_helper.to_array(t).ndim > 1)
    broken = numpy_helper.to_array(tensor) * np.float32(1.1)
    tensor.CopyFrom(numpy_helper.from_array(broken, tensor.name))
    onnx.save(model, str(tmp_path / "broken.onnx"))
    with pytest.raises(ParityError, match=r"ONNX Runtime and PyTorch at batch size 1 differ by .*limit is 1e-03"):
        check_parity(trained, tmp_path / "broken.onnx", photographs)


def test_a_graph_that_answers_nan_fails(
    trained: TrainedCfs, files: dict[str, Path], photographs: Sequence[NDArray[np.uint8]], tmp_path: Path
) -> None:
    model = onnx.load(str(files["trained"]))
    tensor = next(t for t in model.graph.initializer if t.name.endswith("head.weight"))
    nothing = np.full_like(numpy_helper.to_array(tensor), np.nan)
    tensor.CopyFrom(numpy_helper.from_array(nothing, tensor.name))
    onnx.save(model, str(tmp_path / "broken.onnx"))
    with pytest.raises(ParityError, match="differ by nan"):
        check_parity(trained, tmp_path / "broken.onnx", photographs)


def test_half_weights_halve_the_file(files: dict[str, Path]) -> None:
    model = onnx.load(str(files["half"]))
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    weights = {name: value for name, value in stored.items() if value.ndim > 1 and "normalize" not in name}
    assert {value.dtype for value in weights.values()} == {np.dtype(np.float16)}
    assert len(weights) > 15
    assert {stored[name].dtype for name in stored if "normalize" in name} <= {np.dtype(np.float32)}


def test_storing_rounded_weights_as_float16_changes_no_answer(
    halved: TrainedCfs, files: dict[str, Path], photographs: Sequence[NDArray[np.uint8]]
) -> None:
    """What the file computes is what PyTorch computes with the same rounded weights."""
    plain, half = (check_parity(halved, files[name], photographs) for name in ("rounded", "half"))
    assert plain.errors == half.errors
    assert half.worst < 1e-5


def test_rounding_is_measured_apart(
    trained: TrainedCfs, halved: TrainedCfs, files: dict[str, Path], photographs: Sequence[NDArray[np.uint8]]
) -> None:
    error = check_rounding(trained, halved, photographs)
    assert 1e-5 < error < 1e-2
    against_trained = check_parity(trained, files["half"], photographs, limit=1.0)
    assert against_trained.worst == pytest.approx(error, abs=1e-5)


def test_rounding_that_changes_too_much_fails(
    trained: TrainedCfs, halved: TrainedCfs, photographs: Sequence[NDArray[np.uint8]]
) -> None:
    with pytest.raises(ParityError, match=r"float16 weights and the trained ones differ.*without --half-weights"):
        check_rounding(trained, halved, photographs, limit=1e-6)
    network = copy.deepcopy(halved.network)
    network.head.bias.data += 0.1
    with pytest.raises(ParityError, match="the limit is 1e-02"):
        check_rounding(trained, replace(halved, network=network), photographs)


def test_weights_beyond_float16_fail(trained: TrainedCfs, photographs: Sequence[NDArray[np.uint8]]) -> None:
    network = copy.deepcopy(trained.network)
    with torch.no_grad():
        network.head.weight *= 1e9
    huge = replace(trained, network=network)
    with pytest.raises(ParityError):
        check_rounding(huge, rounded(huge), photographs)


def test_rounded_weights_are_what_float16_holds_and_the_original_stays(trained: TrainedCfs) -> None:
    before = copy.deepcopy(trained.network.state_dict())
    network = rounded(trained).network
    assert all(torch.equal(value, before[name]) for name, value in trained.network.state_dict().items())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    for name, weight in network.named_parameters():
        assert weight.dtype == torch.float32
        assert weight.dim() == 1 or torch.equal(weight, weight.half().float()), name
