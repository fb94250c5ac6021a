from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
import pytest
from onnx.reference import ReferenceEvaluator

from boxmask_core.bundle import FixedSize
from boxmask_core.errors import BundleError, DeviceError
from boxmask_server.networks import cfs_engine as engine_module
from boxmask_server.networks.cfs_engine import CfsEngine, CfsInput
from boxmask_server.networks.cuda import CPU, CUDA, has_nvidia_device

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_core.bundle import Bundle


def test_the_answer_is_the_networks_foreground_probability(bundle: Bundle, engine: CfsEngine) -> None:
    items = _items(engine, 3)
    reference = ReferenceEvaluator(str(bundle.network("cfs").file))
    label = np.zeros((3, 3), np.float32)
    for row, item in zip(label, items, strict=True):
        row[:] = item.label
    (foreground,) = reference.run(
        None,
        {
            "image": np.stack([item.pixels for item in items]),
            "box_mask": np.stack([item.box_mask for item in items]),
            "label": label,
        },
    )
    expected = np.asarray(foreground, dtype=np.float32)
    answers = engine.run(items)
    assert all(answer.dtype == np.float32 for answer in answers)
    np.testing.assert_allclose(np.stack(answers), expected, atol=1e-4)


def test_on_the_cpu_an_answer_does_not_depend_on_its_neighbours_or_on_threads(
    bundle: Bundle, engine: CfsEngine
) -> None:
    items = _items(engine, 7)
    (alone,) = engine.run([items[3]])
    np.testing.assert_array_equal(engine.run(items)[3], alone)
    np.testing.assert_array_equal(engine.run(items[::-1])[3], alone)
    (threaded,) = CfsEngine(bundle, device="cpu", threads=3).run([items[3]])
    np.testing.assert_array_equal(threaded, alone)


def test_the_class_reaches_the_network_and_an_unknown_one_is_all_zero(engine: CfsEngine) -> None:
    item = _items(engine, 1)[0]
    unknown, cat, dog = engine.run(
        [dataclasses.replace(item, label=engine.label(name)) for name in ("zebra", "cat", "dog")]
    )
    assert not np.array_equal(cat, dog)
    assert not np.array_equal(unknown, cat)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9])
def test_padded_and_cut_batches_answer_every_item_in_order(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    alone = CfsEngine(bundle, device="cpu", threads=1)
    items = _items(alone, count)
    monkeypatch.setitem(engine_module.BATCH_SIZES, CPU, (1, 2, 4))
    batched = CfsEngine(bundle, device="cpu", threads=1)
    batched.warm_up()
    np.testing.assert_allclose(batched.run(items), alone.run(items), atol=1e-6)


def test_an_empty_batch_has_no_answers(engine: CfsEngine) -> None:
    assert engine.run([]) == []


@pytest.mark.skipif(has_nvidia_device(), reason="this machine has a CUDA device")
def test_cuda_fails_loudly_where_it_is_not_active(bundle: Bundle) -> None:
    with pytest.raises(DeviceError, match="'cuda' is not available"):
        CfsEngine(bundle, device="cuda", threads=1)


@pytest.mark.skipif(has_nvidia_device(), reason="this machine has a CUDA device")
def test_auto_takes_the_cpu_where_there_is_no_cuda_device(bundle: Bundle) -> None:
    assert CfsEngine(bundle, device="auto", threads=1).provider == CPU


@pytest.mark.gpu
@pytest.mark.skipif(
    not has_nvidia_device() or CUDA not in ort.get_available_providers(),
    reason="needs a CUDA device and the CUDA build of ONNX Runtime",
)
def test_cuda_answers_as_the_cpu_does(bundle: Bundle, engine: CfsEngine) -> None:
    cuda = CfsEngine(bundle, device="cuda", threads=1)
    assert cuda.provider == CUDA
    cuda.warm_up()
    items = _items(engine, 37)
    np.testing.assert_allclose(cuda.run(items), engine.run(items), atol=1e-2)


def test_a_file_that_is_no_network_is_a_bundle_error(bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "cfs.onnx"
    file.write_bytes(b"not a network")
    with pytest.raises(BundleError, match=r"cfs\.onnx cannot be loaded"):
        CfsEngine(_with_network(bundle, file=file), device="cpu", threads=1)


def test_a_graph_that_does_not_fit_the_manifest_is_a_bundle_error(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="expected the inputs"):
        CfsEngine(_with_network(bundle, side=32), device="cpu", threads=1)
    with pytest.raises(BundleError, match="expected the inputs"):
        CfsEngine(dataclasses.replace(bundle, class_names=("cat",)), device="cpu", threads=1)


def test_a_bundle_without_cfs_is_a_bundle_error(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="'cfs'"):
        CfsEngine(dataclasses.replace(bundle, networks={}), device="cpu", threads=1)


def _with_network(bundle: Bundle, *, file: Path | None = None, side: int | None = None) -> Bundle:
    network = bundle.network("cfs")
    changed = dataclasses.replace(
        network, file=file or network.file, input=FixedSize(side) if side else network.input
    )
    return dataclasses.replace(bundle, networks={"cfs": changed})


def _items(engine: CfsEngine, count: int) -> list[CfsInput]:
    rng = np.random.default_rng(0)
    side = engine.input_size
    items = []
    for i in range(count):
        box_mask = np.zeros((side, side), np.uint8)
        box_mask[8 : 40 + i, 10:50] = 1
        pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        items.append(CfsInput(pixels, box_mask, engine.label((*engine.class_names, "zebra")[i % 4])))
    return items
