"""One network's graph in ONNX Runtime, on the device asked for, whatever it computes."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Literal, NamedTuple

import onnxruntime as ort

from boxmask_core.bundle import FixedSize
from boxmask_core.errors import BundleError, DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from boxmask_core.bundle import Network

Device = Literal["auto", "cpu", "cuda"]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
CUDA_OPTIONS = {
    # The default search runs anew, for up to a second, on every new shape.
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
}
NVIDIA_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))

logger = logging.getLogger(__name__)


class Inferred(NamedTuple):
    """What a network gave one item.

    Attributes:
        values: float32, of the network's output shape.
        milliseconds: The item's share of the time that the network ran; waiting is no part of it.
    """

    values: NDArray[np.float32]
    milliseconds: float


class Session:
    """One network, ready to run.

    Args:
        network: The network.
        device: ``cuda`` or nothing, ``cpu``, or ``auto``: CUDA where it works and the CPU elsewhere.
        threads: Threads that one run may use on the CPU.
        side_by_side: Whether runs on the CPU may go on at once; otherwise they take turns, as on a GPU, and
            one run's memory is all that is taken.

    Raises:
        BundleError: The file is no graph that ONNX Runtime can load.
        DeviceError: ``cuda`` was asked for and is not really active.
    """

    def __init__(self, network: Network, *, device: Device, threads: int, side_by_side: bool = False) -> None:
        self._session = _open(network, device, threads)
        self._turn: AbstractContextManager[Any] = threading.Lock()
        if side_by_side and self.provider == CPU:
            self._turn = contextlib.nullcontext()
        logger.info("network %r runs on %s", network.name, self.provider)

    @property
    def provider(self) -> str:
        """The ONNX Runtime provider that runs the network."""
        return str(self._session.get_providers()[0])

    def inputs(self) -> dict[str, tuple[str, list[Any]]]:
        """Returns the type and the shape of every input; a size that may vary is no number."""
        return {node.name: (node.type, node.shape) for node in self._session.get_inputs()}

    def run(self, output: str, feed: Mapping[str, NDArray[np.generic]], items: int) -> list[Inferred]:
        """Computes one output. May be called from several threads: the next feed is made while one runs.

        Args:
            output: Its name.
            feed: Inputs by name, batch first.
            items: Items of the batch that are real; what follows them is padding.

        Returns:
            The real items' part of the output, in their order.
        """
        with self._turn:
            start = perf_counter()
            (found,) = self._session.run([output], feed)
            share = (perf_counter() - start) * 1e3 / items
        return [Inferred(values, share) for values in found[:items]]


def parts(count: int, sizes: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """Cuts a batch into sizes that the device knows.

    Args:
        count: Items of the batch.
        sizes: Batch sizes, ascending.

    Yields:
        ``(start, stop, size)``: parts of the largest size, the last one to be padded to the next size.
    """
    for start in range(0, count, sizes[-1]):
        stop = min(start + sizes[-1], count)
        yield start, stop, next(size for size in sizes if size >= stop - start)


def _open(network: Network, device: Device, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # A plan of the memory is kept for every shape, and makes the arena grow with the number of shapes.
    options.enable_mem_pattern = isinstance(network.input, FixedSize)
    options.intra_op_num_threads = threads
    # The cores are shared with the host pool: a thread that waits must not spin on one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if device == "cuda" or (device == "auto" and _has_nvidia_device()):
        session = _cuda_session(network.file, options)
        if session is not None:
            return session
        if device == "cuda":
            raise DeviceError("cuda", _why_no_cuda())
        logger.warning("CUDA is not usable, running on the CPU: %s", _why_no_cuda())
    return _session(network.file, options, [CPU])


def _cuda_session(file: Path, options: ort.SessionOptions) -> ort.InferenceSession | None:
    """Returns a session that really runs on CUDA: ONNX Runtime falls back to the CPU without an error."""
    if CUDA not in ort.get_available_providers():
        return None
    with contextlib.redirect_stdout(sys.stderr):  # it prints what it cannot find
        ort.preload_dlls()
    session = _session(file, options, [(CUDA, CUDA_OPTIONS), CPU])
    return session if session.get_providers()[0] == CUDA else None


def _session(
    file: Path, options: ort.SessionOptions, providers: list[str | tuple[str, dict[str, str]]]
) -> ort.InferenceSession:
    try:
        return ort.InferenceSession(file, options, providers=providers)
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        raise BundleError(file.parent, f"{file.name} cannot be loaded: {error}") from error


def _has_nvidia_device() -> bool:
    return any(device.exists() for device in NVIDIA_DEVICES)


def _why_no_cuda() -> str:
    if CUDA not in ort.get_available_providers():
        return "this ONNX Runtime is built without CUDA; run: pip install 'boxmask[server,cuda]'"
    if not _has_nvidia_device():
        return "this machine shows no NVIDIA device; start the container with GPU access, or use --device cpu"
    return "the CUDA or cuDNN libraries do not load; run: pip install 'boxmask[server,cuda]'"
