from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from boxmask_server.networks.session import Session

if TYPE_CHECKING:
    from boxmask_core.bundle import Bundle


class CountingRuntime:
    """Stands in for ONNX Runtime's session: how many runs go on at once?"""

    def __init__(self) -> None:
        self.most = 0
        self._running = 0
        self._lock = threading.Lock()

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]

    def run(self, outputs: list[str], feed: dict[str, Any]) -> list[Any]:
        with self._lock:
            self._running += 1
            self.most = max(self.most, self._running)
        time.sleep(0.05)
        with self._lock:
            self._running -= 1
        return [np.zeros((len(outputs), len(feed)))]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("side_by_side", "most"), [(False, 1), (True, 4)])
def test_runs_take_turns_unless_they_are_meant_to_go_on_at_once(
    bundle: Bundle, threads: int, side_by_side: bool, most: int
) -> None:
    session = Session(bundle.network("cfs"), device="cpu", threads=threads, side_by_side=side_by_side)
    runtime = CountingRuntime()
    session._session = runtime
    with ThreadPoolExecutor(4) as pool:
        for run in [pool.submit(session.run, "foreground", {}, 1) for _ in range(4)]:
            run.result()
    assert runtime.most == most
