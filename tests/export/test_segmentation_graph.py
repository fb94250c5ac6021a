from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from skimage import data

from boxmask_core.bundle import LGSA
from boxmask_core.errors import ParityError
from boxmask_export.graph import OPSET, write_graph
from boxmask_export.parity import check_parity
from boxmask_export.segmentation import BATCHES, SIZES, SegmentationGraph, segmentation_subject
from tests.export.networks import CLASS_NAMES, INNER_CHANNELS, STRIDE, tiny_segmenter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_core.bundle import Bundle
    from boxmask_training.checkpoint import TrainedLgsa

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
NUM_CLASSES = len(CLASS_NAMES) + 1


@pytest.fixture(scope="module")
def file(exported: dict[str, Bundle]) -> Path:
    return exported["float32"].network(LGSA).file


@pytest.fixture(scope="module")
def session(file: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(file), providers=[CPU])


def _images(batch: int, width: int, height: int) -> NDArray[np.uint8]:
    photograph = np.asarray(data.astronaut(), dtype=np.uint8)  # type: ignore[no-untyped-call]  # scikit-image has no types
    return np.stack([photograph[31 * n : 31 * n + height, 57 * n : 57 * n + width] for n in range(batch)])


def _run(session: onnxruntime.InferenceSession, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(session.run(["scores"], {"image": images})[0], dtype=np.float32)


def test_input_and_output_are_the_contract_of_the_bundle(file: Path) -> None:
    model = onnx.load(str(file))
    (image,), (scores,) = model.graph.input, model.graph.output
    shapes = [
        [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] for value in (image, scores)
    ]
    assert (image.name, image.type.tensor_type.elem_type) == ("image", onnx.TensorProto.UINT8)
    assert (scores.name, scores.type.tensor_type.elem_type) == ("scores", onnx.TensorProto.FLOAT)
    assert shapes[0] == ["batch", "height", "width", 3]
    assert shapes[1][:2] == ["batch", NUM_CLASSES]
    assert "height" in str(shapes[1][2])
    assert "width" in str(shapes[1][3])
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": OPSET, "com.microsoft": 1}


def test_no_operator_holds_the_affinity(file: Path) -> None:
    graph = onnx.load(str(file)).graph
    operators = [node.op_type for node in graph.node]
    assert not {"Softmax", "MatMul", "Gemm", "Einsum", "Attention"} & set(operators)
    attention = [node for node in graph.node if node.op_type == "MultiHeadAttention"]
    assert [node.domain for node in attention] == ["com.microsoft"] * 3  # two modules and the walk
    for node in attention:
        assert len(node.input) == 3  # a bias, a mask or a past would take it off the fused path
        settings = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        assert settings == {"num_heads": 1, "scale": 1.0}


def test_the_walk_uses_the_affinity_of_the_last_module(file: Path) -> None:
    first, last, walk = (
        node for node in onnx.load(str(file)).graph.node if node.op_type == "MultiHeadAttention"
    )
    assert walk.input[:2] == last.input[:2] != first.input[:2]


def test_the_file_names_no_folder_of_the_machine_that_made_it(file: Path) -> None:
    assert b".py" not in file.read_bytes()


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("width", "height"), [(32, 32), (160, 64), (96, 256), (288, 288)])
def test_any_batch_and_any_size_computes_what_the_network_computes(
    batch: int, width: int, height: int, session: onnxruntime.InferenceSession, segmenter: TrainedLgsa
) -> None:
    images = _images(batch, width, height)
    with torch.no_grad():
        expected = segmenter.network(torch.from_numpy(images).permute(0, 3, 1, 2).float()).scores
    found = _run(session, images)
    assert found.shape == (batch, NUM_CLASSES, height // STRIDE, width // STRIDE)
    assert found.std() > 0.1
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


def test_an_answer_is_the_same_to_the_byte_alone_and_among_others(
    session: onnxruntime.InferenceSession,
) -> None:
    images = _images(4, 160, 96)
    together = _run(session, images)
    for index in range(4):
        assert _run(session, images[index : index + 1])[0].tobytes() == together[index].tobytes()


def test_an_answer_does_not_depend_on_the_number_of_threads(
    file: Path, session: onnxruntime.InferenceSession
) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    single = onnxruntime.InferenceSession(str(file), options, providers=[CPU])
    images = _images(2, 224, 160)
    assert _run(single, images).tobytes() == _run(session, images).tobytes()


def test_parity_is_measured_at_three_sizes_and_two_batch_sizes(
    segmenter: TrainedLgsa, photographs: Sequence[NDArray[np.uint8]]
) -> None:
    probes = segmentation_subject(segmenter).probes(photographs)
    shapes = [feed["image"].shape for probe in probes for feed in probe.feeds]
    assert set(shapes) == {(batch, height, width, 3) for width, height in SIZES for batch in BATCHES}
    assert (len(SIZES), len(BATCHES)) == (3, 2)
    assert probes[0].where == "batch 1, 160 x 96 pixels"


@pytest.mark.parametrize("scale", [INNER_CHANNELS**-0.5, -1.0, 0.0])
def test_attention_of_another_scale_fails_the_parity_check(
    scale: float,
    file: Path,
    segmenter: TrainedLgsa,
    photographs: Sequence[NDArray[np.uint8]],
    tmp_path: Path,
) -> None:
    model = onnx.load(str(file))
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "scale":
                attribute.f = scale
    onnx.save(model, str(tmp_path / "broken.onnx"))
    subject = segmentation_subject(segmenter)
    with pytest.raises(ParityError):
        check_parity(subject.graph, tmp_path / "broken.onnx", subject.probes(photographs))


def test_a_walk_with_the_affinity_of_the_first_module_fails_the_parity_check(
    file: Path, segmenter: TrainedLgsa, photographs: Sequence[NDArray[np.uint8]], tmp_path: Path
) -> None:
    model = onnx.load(str(file))
    first, _, walk = (node for node in model.graph.node if node.op_type == "MultiHeadAttention")
    walk.input[0], walk.input[1] = first.input[0], first.input[1]
    onnx.save(model, str(tmp_path / "broken.onnx"))
    subject = segmentation_subject(segmenter)
    with pytest.raises(ParityError):
        check_parity(subject.graph, tmp_path / "broken.onnx", subject.probes(photographs))


def test_a_network_without_attention_needs_no_operator_of_onnx_runtime(
    photographs: Sequence[NDArray[np.uint8]], tmp_path: Path
) -> None:
    subject = segmentation_subject(tiny_segmenter(modules=0))
    write_graph(subject.graph, tmp_path / "plain.onnx")
    model = onnx.load(str(tmp_path / "plain.onnx"))
    assert {entry.domain for entry in model.opset_import} == {""}
    check_parity(subject.graph, tmp_path / "plain.onnx", subject.probes(photographs))


@pytest.mark.gpu
def test_cuda_computes_the_same_and_holds_no_affinity_either(
    file: Path, session: onnxruntime.InferenceSession
) -> None:
    onnxruntime.preload_dlls()
    side = 1024
    cells = (side // STRIDE) ** 2
    # Less than the affinity alone would take.
    limit = {"gpu_mem_limit": str(cells * cells * 4 // 2), "arena_extend_strategy": "kSameAsRequested"}
    cuda = onnxruntime.InferenceSession(str(file), providers=[(CUDA, limit)])
    assert cuda.get_providers()[0] == CUDA
    images = np.tile(_images(1, 256, 256), (1, side // 256, side // 256, 1))
    graph = SegmentationGraph(tiny_segmenter().network)
    found, expected = (graph.probabilities(_run(one, images)) for one in (cuda, session))
    np.testing.assert_allclose(found, expected, atol=1e-2)  # CUDA may convolve in TF32
