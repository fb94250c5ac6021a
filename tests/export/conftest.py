from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from skimage import data

from tests.export.networks import tiny_trained

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from boxmask_training.checkpoint import TrainedCfs


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def trained() -> TrainedCfs:
    return tiny_trained()


@pytest.fixture(scope="session")
def photographs() -> Sequence[NDArray[np.uint8]]:
    """A person, a cat and a cup, uint8 RGB."""
    pictures = (data.astronaut(), data.chelsea(), data.coffee())  # type: ignore[no-untyped-call]  # scikit-image has no types
    return [np.asarray(picture, dtype=np.uint8) for picture in pictures]
