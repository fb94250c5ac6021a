from __future__ import annotations

import os
from typing import TYPE_CHECKING

import cv2
import pytest
from threadpoolctl import threadpool_info

from boxmask_server.networks.cores import available_cores, one_thread_each

if TYPE_CHECKING:
    from pathlib import Path

AFFINITY = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", AFFINITY),
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("150000 100000", min(2, AFFINITY)),
        ("6400000 100000", min(64, AFFINITY)),
    ],
)
def test_cores_follow_the_containers_quota(tmp_path: Path, quota: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert available_cores(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", AFFINITY), ("50000", 1)])
def test_cores_follow_the_quota_of_version_1_control_groups(tmp_path: Path, quota: str, cores: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert available_cores(tmp_path) == cores


def test_cores_without_control_groups_are_those_of_the_affinity(tmp_path: Path) -> None:
    assert available_cores(tmp_path) == AFFINITY


def test_no_library_starts_threads_of_its_own() -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        one_thread_each()
        assert cv2.getNumThreads() == 1
        blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        assert blas
        assert set(blas) == {1}
    finally:
        cv2.setNumThreads(before)
