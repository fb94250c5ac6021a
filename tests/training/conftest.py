from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from tests.training.shapes import Shapes, write_shapes

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """The order of sums, and with it the last bit, depends on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Shapes:
    return write_shapes(tmp_path_factory.mktemp("shapes"))
