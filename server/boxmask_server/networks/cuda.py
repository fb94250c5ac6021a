"""How ONNX Runtime is to use an NVIDIA GPU. The options are described on its pages on execution providers."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnxruntime as ort

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
TENSORRT: Final = "TensorrtExecutionProvider"

NVIDIA_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))

Providers = list[str | tuple[str, dict[str, str]]]


@dataclass(frozen=True, slots=True)
class CudaOptions:
    """What may be chosen for a GPU.

    Attributes:
        memory_limit: Bytes of the arena of each network; None for all that there is.
        io_binding: Whether inputs and outputs keep their places on the device from run to run.
        graphs: Whether a CUDA graph is recorded for every bucket and batch size, up to `session.MAX_BINDINGS`
            of them, and replayed. Implies ``io_binding``.
        tensorrt: Whether TensorRT compiles the networks: minutes at the first start, without a cache.
        tensorrt_cache: Folder that keeps what TensorRT compiled; None keeps nothing.
    """

    memory_limit: int | None = None
    io_binding: bool = False
    graphs: bool = False
    tensorrt: bool = False
    tensorrt_cache: Path | None = None

    @property
    def wanted(self) -> str:
        """The provider that must be active."""
        return TENSORRT if self.tensorrt else CUDA

    def providers(self) -> Providers:
        """Returns what ONNX Runtime is asked for, best first."""
        cuda = {
            # The default search runs anew, for up to a second, on every new shape.
            "cudnn_conv_algo_search": "HEURISTIC",
            # With changing shapes, powers of two grow the arena without bound.
            "arena_extend_strategy": "kSameAsRequested",
            "enable_cuda_graph": str(int(self.graphs and not self.tensorrt)),
        }
        if self.memory_limit is not None:
            cuda["gpu_mem_limit"] = str(self.memory_limit)
        providers: Providers = [(CUDA, cuda), CPU]
        if self.tensorrt:
            providers.insert(0, (TENSORRT, self._tensorrt()))
        return providers

    def _tensorrt(self) -> dict[str, str]:
        options = {"trt_cuda_graph_enable": str(int(self.graphs))}
        if self.tensorrt_cache is not None:
            folder = str(self.tensorrt_cache)
            options |= {
                "trt_engine_cache_enable": "1",
                "trt_engine_cache_path": folder,
                "trt_timing_cache_enable": "1",
                "trt_timing_cache_path": folder,
            }
        return options


def load_libraries() -> None:
    """Loads the CUDA and cuDNN libraries that were installed as wheels; to be called before any session."""
    with contextlib.redirect_stdout(sys.stderr):  # it prints what it cannot find
        ort.preload_dlls()


def has_nvidia_device() -> bool:
    """Tells whether this machine shows an NVIDIA device."""
    return any(device.exists() for device in NVIDIA_DEVICES)


def why_not(provider: str) -> str:
    """Returns why a provider is not active, and what to do."""
    if provider not in ort.get_available_providers():
        if provider == TENSORRT:
            return "this ONNX Runtime is built without TensorRT; leave out --tensorrt"
        return "this ONNX Runtime is built without CUDA; run: pip install 'boxmask[server,cuda]'"
    if not has_nvidia_device():
        return "this machine shows no NVIDIA device; start the container with GPU access, or use --device cpu"
    if provider == TENSORRT:
        return "the TensorRT libraries do not load; run: pip install tensorrt"
    return "the CUDA or cuDNN libraries do not load; run: pip install 'boxmask[server,cuda]'"
