from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from boxmask_core.bundle import (
    MANIFEST,
    SEGMENTATION_TASK,
    AnySize,
    Bundle,
    FixedSize,
    file_digest,
    starter_path,
)
from boxmask_core.errors import BundleError
from tests.bundles import write_tiny_bundle
from tests.tiny_networks import CLASS_NAMES, MAX_SIDE, SIZE, STEP, STRIDE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMIT_BYTES = 25_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "bundle")


def _edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    fields = json.loads((folder / MANIFEST).read_text())
    change(fields)
    (folder / MANIFEST).write_text(json.dumps(fields))


def test_what_was_written_is_read_back(folder: Path) -> None:
    bundle = Bundle.load(folder)
    network = bundle.network("cfs")
    assert bundle.class_names == CLASS_NAMES
    assert len(bundle.palette) == len(CLASS_NAMES) + 1
    assert (network.input, network.file, network.weights) == (
        FixedSize(SIZE),
        folder / "cfs.onnx",
        "float32",
    )
    segmentation = bundle.network("lgsa")
    assert (segmentation.task, segmentation.input) == (SEGMENTATION_TASK, AnySize(STEP, MAX_SIDE))
    assert segmentation.output_stride == STRIDE
    assert network.digest == file_digest(folder / "cfs.onnx")
    assert bundle.to_json() == json.loads((folder / MANIFEST).read_text())


def test_a_folder_without_a_manifest_is_refused_with_the_way_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"there is no bundle\.json; make one with: boxmask export"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": 2}', '{"schema": 1}'])
def test_a_manifest_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match="export it again"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    "field", ["file", "sha256", "task", "input", "opset", "license", "training_data", "parity_error"]
)
def test_a_network_that_lacks_a_field_is_refused_by_its_name(folder: Path, field: str) -> None:
    _edit(folder, lambda fields: fields["networks"]["cfs"].pop(field))
    with pytest.raises(BundleError, match=field):
        Bundle.load(folder)


def test_a_missing_network_file_is_named(folder: Path) -> None:
    (folder / "cfs.onnx").unlink()
    with pytest.raises(BundleError, match=r"the file cfs\.onnx of network 'cfs' is missing"):
        Bundle.load(folder)


def test_one_flipped_bit_is_noticed(folder: Path) -> None:
    content = bytearray((folder / "cfs.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "cfs.onnx").write_bytes(content)
    with pytest.raises(BundleError, match=r"cfs\.onnx is damaged: expected sha256:"):
        Bundle.load(folder)


def test_a_file_name_cannot_lead_out_of_the_bundle(folder: Path) -> None:
    (folder / "cfs.onnx").rename(folder.parent / "cfs.onnx")
    _edit(folder, lambda fields: fields["networks"]["cfs"].update(file="../cfs.onnx"))
    with pytest.raises(BundleError, match="is missing"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"layout": "float32 NCHW BGR", "size_buckets": [[64, 64]]}, "float32 NCHW BGR"),
        ({"layout": "uint8 NHWC RGB", "size_buckets": [[64, 32]]}, "square"),
        ({"layout": "uint8 NHWC RGB", "size_buckets": []}, "square"),
        ({"layout": "uint8 NHWC RGB"}, "size_buckets"),
        ({"layout": "uint8 NHWC RGB", "size_step": 32}, "max_side"),
        ({"layout": "uint8 NHWC RGB", "size_step": "wide", "max_side": 64}, "wide"),
    ],
)
def test_an_input_that_the_engine_could_not_feed_is_refused(
    folder: Path, entry: dict[str, Any], named: str
) -> None:
    _edit(folder, lambda fields: fields["networks"]["cfs"].update(input=entry))
    with pytest.raises(BundleError, match=named):
        Bundle.load(folder)


@pytest.mark.parametrize(("step", "max_side"), [(0, 256), (-32, 256), (12, 240), (32, 0), (32, 250)])
def test_sizes_that_do_not_fit_one_another_are_refused(folder: Path, step: int, max_side: int) -> None:
    entry = {"layout": "uint8 NHWC RGB", "size_step": step, "max_side": max_side}
    _edit(folder, lambda fields: fields["networks"]["lgsa"].update(input=entry))
    with pytest.raises(BundleError, match=f"'lgsa'.*size_step {step}, max_side {max_side}"):
        Bundle.load(folder)


def test_a_network_of_one_size_is_not_taken_for_one_of_any_size(folder: Path) -> None:
    bundle = Bundle.load(folder)
    assert bundle.network("cfs").fixed_side() == SIZE
    assert bundle.network("lgsa").any_size() == AnySize(STEP, MAX_SIDE)
    with pytest.raises(BundleError, match="'cfs' takes one size only"):
        bundle.network("cfs").any_size()
    with pytest.raises(BundleError, match="'lgsa' takes no fixed size"):
        bundle.network("lgsa").fixed_side()


@pytest.mark.parametrize(("held", "missing"), [("cfs", "lgsa"), ("lgsa", "cfs")])
def test_asking_for_a_network_it_does_not_hold_names_those_it_does(
    tmp_path: Path, held: str, missing: str
) -> None:
    bundle = Bundle.load(write_tiny_bundle(tmp_path / "half", [held]))
    assert bundle.network(held).name == held
    with pytest.raises(BundleError, match=rf"no network '{missing}' \(networks: {held}\)"):
        bundle.network(missing)


def test_the_starter_bundle_is_whole_small_and_says_where_it_comes_from() -> None:
    bundle = Bundle.load(starter_path())
    network = bundle.network("cfs")
    assert sum(file.stat().st_size for file in bundle.root.iterdir()) <= LIMIT_BYTES
    assert network.fixed_side() == 224
    assert len(bundle.class_names) == 20
    assert 0 <= network.parity_error < 1e-3
    assert network.license == "Apache-2.0"
    assert "VOC" in network.training_data
