from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from boxmask_client import Client
from boxmask_core.bundle import Bundle
from tests.bundles import write_tiny_bundle
from tests.clients.running_server import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.load(write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny"))


@pytest.fixture(scope="session")
def server(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real server."""
    with running_server(bundle, f"unix:{tmp_path_factory.mktemp('server')}/socket") as address:
        yield address


@pytest.fixture
def client(server: str) -> Iterator[Client]:
    with Client(server) as client:
        yield client
