from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from boxmask_core.errors import DeviceError
from boxmask_server.networks import session as session_module
from boxmask_server.networks.cuda import TENSORRT, CudaOptions, has_nvidia_device
from boxmask_server.networks.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

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


def test_bound_runs_answer_as_plain_ones_do_whatever_shape_comes_between(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "MAX_BINDINGS", 2)  # the third shape is run without
    network = bundle.network("lgsa")
    plain = Session(network, device="cpu", threads=1)
    bound = Session(network, device="cpu", threads=1, cuda=CudaOptions(io_binding=True))
    rng = np.random.default_rng(0)
    shapes = [(1, 32, 64, 3), (2, 64, 32, 3), (1, 96, 32, 3)]
    kept = []
    for shape in [*shapes, *shapes[::-1], *shapes]:
        feed = {"image": rng.integers(0, 256, shape, dtype=np.uint8)}
        answers = [found.values for found in bound.run("scores", feed, shape[0])]
        expected = [found.values for found in plain.run("scores", feed, shape[0])]
        np.testing.assert_array_equal(answers, expected)
        kept.append((answers, expected))
    for answers, expected in kept:  # nor does a later run write over an earlier answer
        np.testing.assert_array_equal(answers, expected)


def test_bound_runs_take_turns(bundle: Bundle) -> None:
    session = Session(
        bundle.network("cfs"), device="cpu", threads=1, side_by_side=True, cuda=CudaOptions(io_binding=True)
    )
    rng = np.random.default_rng(0)
    side = bundle.network("cfs").fixed_side()
    feeds: list[dict[str, NDArray[np.generic]]] = [
        {
            "image": rng.integers(0, 256, (1, side, side, 3), dtype=np.uint8),
            "box_mask": np.ones((1, side, side), np.uint8),
            "label": np.zeros((1, len(bundle.class_names)), np.float32),
        }
        for _ in range(8)
    ]
    expected = [session.run("foreground", feed, 1)[0].values for feed in feeds]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda feed: session.run("foreground", feed, 1)[0].values, feeds * 5))
    np.testing.assert_array_equal(found, expected * 5)


def test_tensorrt_is_an_error_where_it_is_not_active(bundle: Bundle) -> None:
    with pytest.raises(DeviceError, match="device 'tensorrt' is not available"):
        Session(bundle.network("cfs"), device="auto", threads=1, cuda=CudaOptions(tensorrt=True))


def test_what_is_asked_of_a_gpu_is_what_changing_shapes_need(tmp_path: Path) -> None:
    asked = dict(each for each in CudaOptions(memory_limit=1 << 30).providers() if isinstance(each, tuple))
    assert asked["CUDAExecutionProvider"] == {
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
        "enable_cuda_graph": "0",
        "gpu_mem_limit": str(1 << 30),
    }
    options = CudaOptions(graphs=True, tensorrt=True, tensorrt_cache=tmp_path)
    names = [each if isinstance(each, str) else each[0] for each in options.providers()]
    assert names == [TENSORRT, "CUDAExecutionProvider", "CPUExecutionProvider"]
    (_, first), *_ = [each for each in options.providers() if isinstance(each, tuple)]
    assert first["trt_engine_cache_path"] == first["trt_timing_cache_path"] == str(tmp_path)
    assert first["trt_cuda_graph_enable"] == "1"


@pytest.mark.gpu
@pytest.mark.skipif(not has_nvidia_device(), reason="needs a CUDA device")
@pytest.mark.parametrize("options", [CudaOptions(io_binding=True), CudaOptions(graphs=True)])
def test_on_a_gpu_bound_runs_and_graphs_answer_as_plain_ones_do(bundle: Bundle, options: CudaOptions) -> None:
    network = bundle.network("lgsa")
    plain = Session(network, device="cuda", threads=1)
    bound = Session(network, device="cuda", threads=1, cuda=options)
    rng = np.random.default_rng(0)
    for shape in [(1, 32, 64, 3), (2, 64, 32, 3)] * 4:
        feed = {"image": rng.integers(0, 256, shape, dtype=np.uint8)}
        answers = [found.values for found in bound.run("scores", feed, shape[0])]
        expected = [found.values for found in plain.run("scores", feed, shape[0])]
        np.testing.assert_allclose(answers, expected, atol=1e-4)
