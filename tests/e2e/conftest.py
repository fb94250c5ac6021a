from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from boxmask_core.bundle import Bundle
from tests.bundles import write_tiny_bundle
from tests.e2e.processes import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.load(write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny"))


@pytest.fixture(scope="session")
def server(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server in a process of its own."""
    with serving(bundle.root, tmp_path_factory.mktemp("server")) as running:
        yield running.address


@pytest.fixture
def many_images(tmp_path: Path) -> Path:
    """A dataset that takes a while."""
    from tests.clients.scenes import VocFolder

    data = VocFolder(tmp_path / "data")
    for i in range(60):
        data.good(f"{i:03}", seed=i)
    return data.root
