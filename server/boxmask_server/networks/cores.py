"""How many cores there are, and who may use them.

The one place that decides: every thread of the host pool works on one core, whatever library it is in, and
so does a run of CFS on the CPU, which is a part of the pool's work like any other. Only a run of the
segmentation network spreads over several cores by itself: it is one long piece of work.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

CGROUP: Final = Path("/sys/fs/cgroup")
CFS_THREADS: Final = 1
"""Threads of one run of CFS on the CPU: many boxes side by side are faster than one box on many cores."""


def one_thread_each() -> None:
    """Keeps OpenCV and BLAS from starting threads of their own, in the whole process."""
    import cv2  # here, so that a supervisor that only counts cores does without them
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(1)
    threadpool_limits(1, user_api="blas")


def available_cores(cgroup: Path = CGROUP) -> int:
    """Returns how many cores this process may really use: its affinity, capped by the container's quota.

    Args:
        cgroup: Where the control groups are mounted.
    """
    affinity = len(os.sched_getaffinity(0))
    quota = _quota(cgroup)
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def _quota(cgroup: Path) -> float | None:
    unified, legacy = cgroup / "cpu.max", cgroup / "cpu"
    if unified.is_file():
        quota, period = unified.read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    if (legacy / "cpu.cfs_quota_us").is_file():
        quota_us = int((legacy / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        period_us = int((legacy / "cpu.cfs_period_us").read_text(encoding="ascii"))
        return None if quota_us <= 0 else quota_us / period_us
    return None
