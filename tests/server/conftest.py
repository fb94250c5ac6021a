from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from boxmask_core.bundle import Bundle
from boxmask_server.networks.cfs_engine import CfsEngine
from boxmask_server.networks.segmentation_engine import SegmentationEngine
from tests.bundles import write_tiny_bundle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.load(write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny"))


@pytest.fixture(scope="session")
def engine(bundle: Bundle) -> CfsEngine:
    return CfsEngine(bundle, device="cpu", threads=1)


@pytest.fixture(scope="session")
def segmentation(bundle: Bundle) -> SegmentationEngine:
    return SegmentationEngine(bundle, device="cpu", threads=1)


@pytest.fixture
def socket(tmp_path: Path) -> str:
    return f"unix:{tmp_path / 'boxmask.sock'}"
