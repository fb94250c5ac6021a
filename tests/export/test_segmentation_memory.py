"""What the exported graph takes of memory, in processes of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import pytest

from benchmarks.onnx_process import measure
from benchmarks.segmentation_memory import with_dense_attention
from boxmask_core.bundle import LGSA
from tests.export.networks import STRIDE

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_core.bundle import Bundle

SIDE = 768
AFFINITY = (SIDE // STRIDE) ** 4 * 4
"""Bytes of the affinity of all cells to all cells: 324 MiB."""


@pytest.fixture(scope="module")
def ours(exported: dict[str, Bundle]) -> Path:
    return exported["float32"].network(LGSA).file


@pytest.fixture(scope="module")
def dense(ours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("dense") / "lgsa.onnx"
    onnx.save(with_dense_attention(onnx.load(str(ours))), str(file))
    return file


def test_the_exported_graph_holds_no_affinity(ours: Path, dense: Path) -> None:
    small, large = (measure(ours, side).peak for side in (64, SIDE))
    assert large - small < AFFINITY / 2
    assert measure(dense, SIDE).peak - large > 0.9 * AFFINITY


def test_the_peer_of_the_benchmark_computes_the_same(ours: Path, dense: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 96, 160, 3), dtype=np.uint8)
    found, expected = (
        onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(
            ["scores"], {"image": image}
        )[0]
        for file in (ours, dense)
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)
