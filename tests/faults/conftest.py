from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bundles import write_tiny_bundle
from tests.faults.graphs import write_touchy_bundle
from tests.faults.neighbours import neighbours
from tests.faults.servers import Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="session")
def touchy_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_touchy_bundle(tmp_path_factory.mktemp("bundle") / "touchy")


@pytest.fixture(scope="session")
def long_lived(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that lives through all faults that share it."""
    with serving(tiny_bundle, tmp_path_factory.mktemp("server")) as running:
        with neighbours(running):  # what is taken once is taken before anything is measured
            pass
        yield running


@pytest.fixture
def server(long_lived: Server) -> Iterator[Server]:
    """The same server; at the end of each test it must be well, and hold what it held before."""
    before = long_lived.held()
    yield long_lived
    long_lived.assert_well(before)
