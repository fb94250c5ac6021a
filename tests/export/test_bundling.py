"""What joins a bundle, what is replaced in it, and what is refused."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from boxmask_core.bundle import (
    CFS,
    CFS_TASK,
    LGSA,
    MANIFEST,
    SEGMENTATION_TASK,
    AnySize,
    Bundle,
    FixedSize,
    file_digest,
)
from boxmask_core.errors import BundleError, ParityError
from boxmask_core.palette import voc_palette
from boxmask_export.bundling import export_network, other_networks, put_in_place
from boxmask_export.cfs import cfs_subject
from boxmask_export.segmentation import segmentation_subject
from boxmask_server.networks.cfs_engine import CfsEngine, CfsInput
from boxmask_server.networks.segmentation_engine import SegmentationEngine
from tests.bundles import write_tiny_bundle
from tests.export.networks import CLASS_NAMES, MAX_SIDE, SIZE, SOURCE, STRIDE
from tests.tiny_networks import CLASS_NAMES as OTHER_CLASS_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from boxmask_export.subject import Subject
    from boxmask_training.checkpoint import TrainedCfs, TrainedLgsa


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle of both networks for the classes cat, dog and person."""
    return write_tiny_bundle(tmp_path / "bundle")


@pytest.fixture
def joining(segmenter: TrainedLgsa) -> Subject:
    """A segmentation network for the same classes."""
    return replace(segmentation_subject(segmenter), class_names=OTHER_CLASS_NAMES)


def _contents(folder: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_manifest_says_what_was_measured(exported: dict[str, Bundle]) -> None:
    for weights, bundle in exported.items():
        read = Bundle.load(bundle.root)
        assert read == bundle
        assert list(read.networks) == [CFS, LGSA]
        cfs, lgsa = read.network(CFS), read.network(LGSA)
        assert (cfs.task, cfs.input, cfs.output_stride) == (CFS_TASK, FixedSize(SIZE), 1)
        assert (lgsa.task, lgsa.input, lgsa.output_stride) == (
            SEGMENTATION_TASK,
            AnySize(32, MAX_SIDE),
            STRIDE,
        )
        for network in (cfs, lgsa):
            assert (network.weights, network.source_checkpoint, network.opset) == (weights, SOURCE, 20)
            assert 0 < network.parity_error < 1e-3
            assert (network.rounding_error > 0) == (weights == "float16")
            assert network.digest == file_digest(network.file)
        assert bundle.class_names == CLASS_NAMES
        assert bundle.palette == tuple(tuple(int(v) for v in colour) for colour in voc_palette()[:4])


def test_the_server_computes_cfs_with_the_bundle(exported: dict[str, Bundle]) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    box_mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    box_mask[8:56, 8:56] = 1
    engines = [CfsEngine(bundle, device="cpu", threads=1) for bundle in exported.values()]
    answers = [
        engine.run([CfsInput(pixels, box_mask, engine.label(name)) for name in (*CLASS_NAMES[:2], "zebra")])
        for engine in engines
    ]
    for full, half in zip(*answers, strict=True):
        assert full.shape == (SIZE, SIZE)
        np.testing.assert_allclose(full, half, atol=1e-2)
    assert not np.array_equal(answers[0][0], answers[0][2])


def test_the_server_segments_with_the_bundle(exported: dict[str, Bundle], segmenter: TrainedLgsa) -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 160, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = segmenter.network(torch.from_numpy(image).permute(2, 0, 1)[None].float()).scores[0]
    for weights, bundle in exported.items():
        (scores,) = SegmentationEngine(bundle, device="cpu", threads=1).run([image])
        np.testing.assert_allclose(scores, expected.numpy(), atol=1e-4 if weights == "float32" else 5e-2)


def test_other_files_of_the_folder_stay(exported: dict[str, Bundle]) -> None:
    root = exported["float32"].root  # a bundle of an older schema and a model card lay here
    assert sorted(path.name for path in root.iterdir()) == [
        "README.md",
        MANIFEST,
        "cfs.onnx",
        "cfs.probe.npz",
        "lgsa.onnx",
        "lgsa.probe.npz",
    ]
    assert (root / "README.md").read_text() == "the model card"


def test_a_network_joins_a_bundle_of_the_same_classes(joining: Subject, tmp_path: Path) -> None:
    target = write_tiny_bundle(tmp_path / "bundle", [CFS])
    before = Bundle.load(target).network(CFS)
    others = other_networks(target, joining, overwrite=False)
    assert others == {CFS: before}
    new = Bundle.load(write_tiny_bundle(tmp_path / "new")).network(LGSA)
    put_in_place(replace(new, license="MIT"), OTHER_CLASS_NAMES, others, target)
    after = Bundle.load(target)
    assert after.network(CFS) == before
    assert (after.network(LGSA).license, after.network(LGSA).file) == ("MIT", target / "lgsa.onnx")


def test_a_network_replaces_its_own_only_if_asked(joining: Subject, bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"there is a network 'lgsa' already; .* or pass --overwrite"):
        other_networks(bundle, joining, overwrite=False)
    assert list(other_networks(bundle, joining, overwrite=True)) == [CFS]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("names", [("cat", "person", "dog"), ("cat", "dog"), ("cat", "dog", "person", "cow")])
def test_a_bundle_of_other_classes_is_refused(
    overwrite: bool, names: tuple[str, ...], joining: Subject, tmp_path: Path
) -> None:
    target = write_tiny_bundle(tmp_path / "bundle", [CFS])
    before = _contents(target)
    rule = (
        f"its network cfs is for the classes cat, dog, person, but the checkpoint is for {', '.join(names)};"
    )
    with pytest.raises(BundleError, match=rule):
        other_networks(target, replace(joining, class_names=names), overwrite=overwrite)
    assert _contents(target) == before


def test_a_bundle_of_the_same_network_alone_may_change_its_classes(joining: Subject, tmp_path: Path) -> None:
    target = write_tiny_bundle(tmp_path / "bundle", [LGSA])
    assert other_networks(target, replace(joining, class_names=("bird",)), overwrite=True) == {}


def test_a_bundle_that_cannot_be_read_is_replaced_only_if_asked_and_not_silently(
    joining: Subject, bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (bundle / "cfs.onnx").write_bytes(b"damaged")
    with pytest.raises(BundleError, match=r"it cannot be read .*cfs\.onnx is damaged.* or pass --overwrite"):
        other_networks(bundle, joining, overwrite=False)
    assert not caplog.records
    assert other_networks(bundle, joining, overwrite=True) == {}
    assert "replacing all of a bundle that cannot be read" in caplog.text
    assert "cfs.onnx is damaged" in caplog.text


def test_a_bundle_is_refused_before_anything_is_computed(joining: Subject, bundle: Path) -> None:
    with pytest.raises(BundleError, match="already"):
        export_network(joining, bundle, [], source=SOURCE)  # no photographs: a check would fail on them


@pytest.mark.parametrize("half_weights", [False, True])
def test_a_network_that_fails_its_check_leaves_what_was_there(
    half_weights: bool, trained: TrainedCfs, tmp_path: Path
) -> None:
    network = copy.deepcopy(trained.network)
    torch.nn.init.constant_(network.head.weight, float("nan"))
    target = write_tiny_bundle(tmp_path / "bundle", [LGSA])
    before = _contents(target)
    subject = replace(cfs_subject(replace(trained, network=network)), class_names=OTHER_CLASS_NAMES)
    picture = np.random.default_rng(0).integers(0, 256, (90, 80, 3), dtype=np.uint8)
    with pytest.raises(ParityError, match=r"differ by nan.*no bundle was written"):
        export_network(subject, target, [picture], source=SOURCE, half_weights=half_weights)
    assert _contents(target) == before
    assert list(tmp_path.iterdir()) == [target]  # no stage is left beside it
