from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from boxmask_export.cfs import INPUTS, CfsGraph, cfs_subject
from boxmask_export.graph import OPSET
from tests.export.networks import CLASS_NAMES, SIZE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from boxmask_core.bundle import Bundle
    from boxmask_training.checkpoint import TrainedCfs

Feed = dict[str, "NDArray[np.generic]"]


@pytest.fixture(scope="module")
def file(exported: dict[str, Bundle]) -> Path:
    return exported["float32"].network("cfs").file


@pytest.fixture(scope="module")
def session(file: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def _feed(batch: int) -> Feed:
    rng = np.random.default_rng(0)
    box_mask = np.zeros((batch, SIZE, SIZE), dtype=np.uint8)
    box_mask[:, 10:50, 12:52] = 1
    return {
        "image": rng.integers(0, 256, (batch, SIZE, SIZE, 3), dtype=np.uint8),
        "box_mask": box_mask,
        "label": np.eye(len(CLASS_NAMES), dtype=np.float32)[rng.integers(0, len(CLASS_NAMES), batch)],
    }


def _run(session: onnxruntime.InferenceSession, feed: Feed) -> NDArray[np.float32]:
    return np.asarray(session.run([CfsGraph.output], feed)[0], dtype=np.float32)


def test_inputs_and_output_are_the_contract_of_the_bundle(file: Path) -> None:
    model = onnx.load(str(file))
    found = {
        value.name: (
            value.type.tensor_type.elem_type,
            [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim],
        )
        for value in (*model.graph.input, *model.graph.output)
    }
    assert found == {
        "image": (onnx.TensorProto.UINT8, ["batch", SIZE, SIZE, 3]),
        "box_mask": (onnx.TensorProto.UINT8, ["batch", SIZE, SIZE]),
        "label": (onnx.TensorProto.FLOAT, ["batch", len(CLASS_NAMES)]),
        "foreground": (onnx.TensorProto.FLOAT, ["batch", SIZE, SIZE]),
    }
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [OPSET]
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}


def test_the_file_names_no_folder_of_the_machine_that_made_it(file: Path) -> None:
    content = file.read_bytes()
    assert b".py" not in content
    assert str(Path(onnx.__file__).parents[1]).encode() not in content


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_any_batch_computes_what_the_network_computes(
    session: onnxruntime.InferenceSession, trained: TrainedCfs, batch: int
) -> None:
    feed = _feed(batch)
    with torch.no_grad():
        expected = cfs_subject(trained).graph(**{name: torch.from_numpy(feed[name]) for name in INPUTS})
    found = _run(session, feed)
    assert found.shape == (batch, SIZE, SIZE)
    assert found.std() > 0.01
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_normalisation_lies_inside_the_graph(
    session: onnxruntime.InferenceSession, trained: TrainedCfs
) -> None:
    feed = _feed(2)
    pixels = torch.from_numpy(feed["image"]).permute(0, 3, 1, 2).double()
    mean, std = (
        torch.tensor(v, dtype=torch.float64).view(3, 1, 1)
        for v in ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4))
    )
    network = trained.network
    normalised = ((pixels - mean) / std).float()
    box_mask, label = torch.from_numpy(feed["box_mask"])[:, None].float(), torch.from_numpy(feed["label"])
    with torch.no_grad():
        x = network.stem_constraint(network.backbone.stem(normalised), box_mask, label)
        *skips, x = network.backbone(x)
        x = network.deep_constraint(x, box_mask, label)
        for block, skip in zip(network.decoder, reversed(skips), strict=True):
            x = block(x, skip, box_mask, label)
        x = torch.nn.functional.interpolate(network.head(x), scale_factor=2, mode="bilinear")
    np.testing.assert_allclose(_run(session, feed), torch.sigmoid(x)[:, 0].numpy(), atol=1e-5)


def test_an_answer_is_the_same_to_the_byte_alone_and_among_others(
    session: onnxruntime.InferenceSession,
) -> None:
    feed = _feed(7)
    together = _run(session, feed)
    for index in range(7):
        alone = _run(session, {name: feed[name][index : index + 1] for name in INPUTS})
        assert alone[0].tobytes() == together[index].tobytes()


def test_an_answer_does_not_depend_on_the_number_of_threads(
    file: Path, session: onnxruntime.InferenceSession
) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    single = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    feed = _feed(3)
    assert _run(single, feed).tobytes() == _run(session, feed).tobytes()


def test_the_empty_class_vector_has_an_answer_of_its_own(session: onnxruntime.InferenceSession) -> None:
    feed = _feed(2)
    unknown = _run(session, feed | {"label": np.zeros_like(feed["label"])})
    assert np.isfinite(unknown).all()
    assert not np.array_equal(unknown, _run(session, feed))
