"""The checks of an export, for both networks: they pass what is faithful and fail what is not."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from boxmask_core.bundle import CFS, LGSA
from boxmask_core.errors import ParityError
from boxmask_export.cfs import cfs_subject
from boxmask_export.parity import check_parity, check_rounding
from boxmask_export.rounding import SMALLEST, halve_weights, rounded
from boxmask_export.segmentation import segmentation_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_core.bundle import Bundle
    from boxmask_export.graph import Graph
    from boxmask_export.subject import Probe, Subject
    from boxmask_training.checkpoint import TrainedCfs, TrainedLgsa


@pytest.fixture(scope="module", params=[CFS, LGSA])
def subject(request: pytest.FixtureRequest, trained: TrainedCfs, segmenter: TrainedLgsa) -> Subject:
    return cfs_subject(trained) if request.param == CFS else segmentation_subject(segmenter)


@pytest.fixture(scope="module")
def probes(subject: Subject, photographs: Sequence[NDArray[np.uint8]]) -> tuple[Probe, ...]:
    return subject.probes(photographs)


@pytest.fixture(scope="module")
def halved(subject: Subject) -> Graph:
    return rounded(subject.graph)


@pytest.fixture(scope="module")
def files(exported: dict[str, Bundle], subject: Subject) -> dict[str, Path]:
    return {weights: bundle.network(subject.name).file for weights, bundle in exported.items()}


def _changed(file: Path, part: str, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
    """Changes the first tensor whose name has the part in it."""
    model = onnx.load(str(file))
    tensor = next(
        t for t in model.graph.initializer if part in t.name and numpy_helper.to_array(t).dtype == np.float32
    )
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), tensor.name))
    onnx.save(model, str(file))


@pytest.fixture
def broken(files: dict[str, Path], tmp_path: Path) -> Path:
    copied = tmp_path / "broken.onnx"
    copied.write_bytes(files["float32"].read_bytes())
    return copied


def test_a_faithful_graph_passes(subject: Subject, probes: Sequence[Probe], files: dict[str, Path]) -> None:
    errors = check_parity(subject.graph, files["float32"], probes)
    assert list(errors) == [probe.where for probe in probes]
    assert 0 < max(errors.values()) < 1e-5


@pytest.mark.parametrize("part", [".bias", "network.normalize.mean", "backbone.levels.3", "backbone.stem"])
def test_a_graph_with_a_weight_that_is_off_fails(
    part: str, subject: Subject, probes: Sequence[Probe], broken: Path
) -> None:
    _changed(broken, part, lambda weight: weight * np.float32(1.3) + np.float32(0.1))
    with pytest.raises(ParityError, match=r"ONNX Runtime and PyTorch at batch 1, .* differ by .*is 1e-03"):
        check_parity(subject.graph, broken, probes)


def test_a_graph_that_answers_nan_fails(subject: Subject, probes: Sequence[Probe], broken: Path) -> None:
    _changed(broken, ".bias", lambda weight: np.full_like(weight, np.nan))
    with pytest.raises(ParityError, match="differ by nan"):
        check_parity(subject.graph, broken, probes)


def test_a_graph_that_answers_for_one_image_of_a_batch_fails(
    subject: Subject, probes: Sequence[Probe], broken: Path
) -> None:
    model = onnx.load(str(broken))
    output = subject.graph.output
    last = next(node for node in model.graph.node if output in node.output)
    last.output[0] = "all"
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.int64), "first"))
    model.graph.node.append(onnx.helper.make_node("Gather", ["all", "first"], [output], axis=0))
    onnx.save(model, str(broken))
    with pytest.raises(ParityError, match=r"at batch [35], .* differ by inf"):
        check_parity(subject.graph, broken, probes)


def test_large_weights_are_stored_as_float16_and_small_ones_as_they_are(files: dict[str, Path]) -> None:
    model = onnx.load(str(files["float16"]))
    stored = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    kinds = {value.dtype for value in stored if value.size >= SMALLEST}
    assert kinds == {np.dtype(np.float16)}
    assert np.dtype(np.float16) not in {value.dtype for value in stored if value.size < SMALLEST}


def test_the_file_computes_what_pytorch_computes_with_the_same_rounded_weights(
    halved: Graph, files: dict[str, Path], probes: Sequence[Probe]
) -> None:
    assert max(check_parity(halved, files["float16"], probes).values()) < 1e-5


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
    subject: Subject, halved: Graph, files: dict[str, Path], probes: Sequence[Probe]
) -> None:
    error = check_rounding(subject.graph, halved, probes, limit=subject.rounding_limit)
    assert 1e-5 < error < 1e-2
    against_trained = check_parity(subject.graph, files["float16"], probes, limit=1.0)
    assert max(against_trained.values()) == pytest.approx(error, abs=1e-5)


def test_rounding_that_changes_too_much_fails(
    subject: Subject, halved: Graph, probes: Sequence[Probe]
) -> None:
    with pytest.raises(
        ParityError, match=r"float16 weights and the trained ones differ.*without --half-weights"
    ):
        check_rounding(subject.graph, halved, probes, limit=1e-6)
    off = copy.deepcopy(halved)
    name = "network.head.bias" if subject.name == CFS else "network.classifier.branches.0.bias"
    with torch.no_grad():
        off.get_parameter(name)[0] += 5
    with pytest.raises(ParityError, match=f"the limit is {subject.rounding_limit:.0e}"):
        check_rounding(subject.graph, off, probes, limit=subject.rounding_limit)


def test_weights_beyond_float16_fail(subject: Subject, probes: Sequence[Probe]) -> None:
    huge = copy.deepcopy(subject.graph)
    with torch.no_grad():
        huge.get_parameter("network.backbone.levels.3.1.0.weight").mul_(1e9)
    with pytest.raises(ParityError):
        check_rounding(huge, rounded(huge), probes, limit=subject.rounding_limit)


def test_rounded_weights_are_what_float16_holds_and_the_original_stays(subject: Subject) -> None:
    before = copy.deepcopy(subject.graph.state_dict())
    graph = rounded(subject.graph)
    assert all(torch.equal(value, before[name]) for name, value in subject.graph.state_dict().items())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in graph.modules())
    large = [weight for weight in graph.parameters() if weight.numel() >= SMALLEST]
    assert len(large) >= 1
    assert all(torch.equal(weight, weight.half().float()) for weight in large)
    assert {weight.dtype for weight in graph.parameters()} == {torch.float32}
