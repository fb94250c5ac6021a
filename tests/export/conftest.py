from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from skimage import data

from boxmask_core.bundle import MANIFEST
from boxmask_export.bundling import export_network
from boxmask_export.cfs import cfs_subject
from boxmask_export.segmentation import segmentation_subject
from tests.export.networks import MAX_SIDE, SOURCE, tiny_segmenter, tiny_trained

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from boxmask_core.bundle import Bundle
    from boxmask_training.checkpoint import TrainedCfs, TrainedLgsa


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
def segmenter() -> TrainedLgsa:
    return tiny_segmenter()


@pytest.fixture(scope="session")
def photographs() -> Sequence[NDArray[np.uint8]]:
    """A person, a cat and a cup, uint8 RGB."""
    pictures = (data.astronaut(), data.chelsea(), data.coffee())  # type: ignore[no-untyped-call]  # scikit-image has no types
    return [np.asarray(picture, dtype=np.uint8) for picture in pictures]


@pytest.fixture(scope="session")
def exported(
    trained: TrainedCfs,
    segmenter: TrainedLgsa,
    photographs: Sequence[NDArray[np.uint8]],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Bundle]:
    """Bundles of both tiny networks, by the precision of their weights; one replaces an older bundle."""
    root = tmp_path_factory.mktemp("bundles")
    (root / "float32").mkdir()
    (root / "float32" / MANIFEST).write_text('{"schema": 0}')
    (root / "float32" / "README.md").write_text("the model card")
    bundles = {}
    for weights in ("float32", "float16"):
        for subject in (cfs_subject(trained), segmentation_subject(segmenter, MAX_SIDE)):
            bundles[weights], _ = export_network(
                subject, root / weights, photographs, source=SOURCE, half_weights=weights == "float16",
                overwrite=True,
            )  # fmt: skip
    return bundles
