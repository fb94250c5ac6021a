from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
import pytest
from onnx.reference import ReferenceEvaluator

from boxmask_core.bundle import AnySize, FixedSize
from boxmask_core.errors import BundleError, DeviceError
from boxmask_server.networks import segmentation_engine as engine_module
from boxmask_server.networks.cuda import CPU, CUDA, has_nvidia_device
from boxmask_server.networks.segmentation_engine import SegmentationEngine
from tests.tiny_networks import MAX_SIDE, STEP, STRIDE

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from boxmask_core.bundle import Bundle

SIZES = [(32, 32), (64, 32), (32, 256), (96, 160), (256, 256)]


@pytest.mark.parametrize("size", SIZES)
def test_the_answer_is_the_networks_scores_at_its_stride(
    bundle: Bundle, segmentation: SegmentationEngine, size: tuple[int, int]
) -> None:
    pictures = _pictures(3, size)
    reference = ReferenceEvaluator(str(bundle.network("lgsa").file))
    (expected,) = reference.run(None, {"image": np.stack(pictures)})
    answers = segmentation.run(pictures)
    assert [answer.shape for answer in answers] == [(4, size[0] // STRIDE, size[1] // STRIDE)] * 3
    assert all(answer.dtype == np.float32 for answer in answers)
    np.testing.assert_allclose(np.stack(answers), np.asarray(expected), atol=1e-4)


def test_on_the_cpu_an_answer_does_not_depend_on_its_neighbours_or_on_threads(
    bundle: Bundle, segmentation: SegmentationEngine
) -> None:
    pictures = _pictures(5, (96, 160))
    (alone,) = segmentation.run([pictures[3]])
    np.testing.assert_array_equal(segmentation.run(pictures)[3], alone)
    segmentation.run(_pictures(1, (256, 256)))
    np.testing.assert_array_equal(segmentation.run(pictures[::-1])[1], alone)
    (threaded,) = SegmentationEngine(bundle, device="cpu", threads=3).run([pictures[3]])
    np.testing.assert_array_equal(threaded, alone)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9])
def test_padded_and_cut_batches_answer_every_picture_in_order(
    bundle: Bundle, segmentation: SegmentationEngine, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setitem(engine_module.BATCH_SIZES, CPU, (1, 2, 4))
    batched = SegmentationEngine(bundle, device="cpu", threads=1)
    assert (batched.max_batch, segmentation.max_batch) == (4, 1)
    pictures = _pictures(count, (64, 96))
    np.testing.assert_allclose(batched.run(pictures), segmentation.run(pictures), atol=1e-5)


def test_an_empty_batch_has_no_answers(segmentation: SegmentationEngine) -> None:
    assert segmentation.run([]) == []


@pytest.mark.skipif(has_nvidia_device(), reason="this machine has a CUDA device")
def test_cuda_fails_loudly_where_it_is_not_active(bundle: Bundle) -> None:
    with pytest.raises(DeviceError, match="'cuda' is not available"):
        SegmentationEngine(bundle, device="cuda", threads=1)


@pytest.mark.gpu
@pytest.mark.skipif(
    not has_nvidia_device() or CUDA not in ort.get_available_providers(),
    reason="needs a CUDA device and the CUDA build of ONNX Runtime",
)
def test_cuda_answers_as_the_cpu_does(bundle: Bundle, segmentation: SegmentationEngine) -> None:
    cuda = SegmentationEngine(bundle, device="cuda", threads=1)
    assert cuda.provider == CUDA
    cuda.warm_up()
    pictures = _pictures(7, (96, 160))
    np.testing.assert_allclose(cuda.run(pictures), segmentation.run(pictures), atol=1e-2)


def test_a_file_that_is_no_network_is_a_bundle_error(bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "lgsa.onnx"
    file.write_bytes(b"not a network")
    with pytest.raises(BundleError, match=r"lgsa\.onnx cannot be loaded"):
        SegmentationEngine(_changed(bundle, file=file), device="cpu", threads=1)


def test_a_graph_that_does_not_fit_the_manifest_is_a_bundle_error(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"expected scores of shape \(4, 2, 2\), but got \(4, 4, 4\)"):
        SegmentationEngine(_changed(bundle, output_stride=16), device="cpu", threads=1)
    with pytest.raises(BundleError, match=r"expected scores of shape \(2, "):
        SegmentationEngine(dataclasses.replace(bundle, class_names=("cat",)), device="cpu", threads=1)
    with pytest.raises(BundleError, match="'lgsa' takes one size only"):
        SegmentationEngine(_changed(bundle, input=FixedSize(64)), device="cpu", threads=1)
    cfs = bundle.network("cfs").file
    with pytest.raises(BundleError, match="'lgsa' does not run on an image of 32 x 32 pixels"):
        SegmentationEngine(_changed(bundle, file=cfs), device="cpu", threads=1)


def test_a_bundle_without_the_network_is_a_bundle_error(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"no network 'lgsa' \(networks: none\)"):
        SegmentationEngine(dataclasses.replace(bundle, networks={}), device="cpu", threads=1)


def test_the_engine_takes_the_sizes_of_the_manifest(segmentation: SegmentationEngine) -> None:
    assert segmentation.size == AnySize(STEP, MAX_SIDE)


def _changed(bundle: Bundle, **changes: Any) -> Bundle:
    return dataclasses.replace(
        bundle, networks={"lgsa": dataclasses.replace(bundle.network("lgsa"), **changes)}
    )


def _pictures(count: int, size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(count)]


def test_runs_side_by_side_answer_as_one_on_all_threads_does(bundle: Bundle) -> None:
    engine = SegmentationEngine(bundle, device="cpu", threads=4)
    assert engine.runs_at_once == 2
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((64, 96), (32, 32), (96, 64))]
    alone = [engine.run([picture])[0] for picture in pictures]
    with ThreadPoolExecutor(3) as pool:
        beside = list(pool.map(lambda one: engine.infer([one], beside=True)[0].values, pictures))
    for first, second in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(first, second)
    assert SegmentationEngine(bundle, device="cpu", threads=1).runs_at_once == 1
