"""The pool of host threads that decode, cut and encode beside the accelerator.

Threads, not processes: Pillow, OpenCV and ONNX Runtime release the interpreter's lock while they work, and
pixels need not be copied.
"""

from __future__ import annotations

import asyncio
import math
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar

import cv2

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

Params = ParamSpec("Params")
Result = TypeVar("Result")

CGROUP = Path("/sys/fs/cgroup")


class HostPool:
    """Runs plain functions in a fixed number of threads; an asynchronous context manager.

    Leaving it waits for what runs and drops what does not.

    Args:
        workers: Number of threads.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        cv2.setNumThreads(1)  # the workers are the parallelism; the setting holds for the whole process
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="boxmask-host")

    async def run(
        self, function: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
    ) -> Result:
        """Returns the function's result; it never runs if the caller is cancelled before a worker is free."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(function, *args, **kwargs))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)


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
