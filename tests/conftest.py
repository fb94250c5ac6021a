"""What all tests share: where optional data lies, and which tests this machine can run."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

VOC_VARIABLE = "BOXMASK_VOC"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if cuda_devices() > 0:
        return
    skip = pytest.mark.skip(reason="needs a CUDA device, and the driver reports none")
    for item in items:
        if item.get_closest_marker("gpu") is not None:
            item.add_marker(skip)


def cuda_devices() -> int:
    """Asks the driver itself, so that the answer does not depend on any framework being installed."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


@pytest.fixture(scope="session")
def voc_root() -> Path:
    """A ``VOCdevkit/VOC2012`` folder, from the environment; tests that use it are skipped without it."""
    place = os.environ.get(VOC_VARIABLE)
    if not place:
        pytest.skip(f"set {VOC_VARIABLE} to a VOCdevkit/VOC2012 folder to run this")
    root = Path(place)
    if not (root / "Annotations").is_dir():
        pytest.skip(f"{VOC_VARIABLE} names {root}, which holds no Annotations")
    return root
