"""One network's graph in ONNX Runtime, on the device asked for, whatever it computes."""

from __future__ import annotations

import contextlib
import logging
import threading
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np
import onnxruntime as ort

from boxmask_core.bundle import FixedSize
from boxmask_core.errors import BundleError, DeviceError
from boxmask_server.networks.cuda import CPU, CudaOptions, has_nvidia_device, load_libraries, why_not

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from boxmask_core.bundle import Network
    from boxmask_server.networks.cuda import Providers

Device = Literal["auto", "cpu", "cuda"]

MAX_BINDINGS: Final = 64
"""Shapes whose inputs and outputs keep their places on the device; further shapes are run without."""

logger = logging.getLogger(__name__)


class Inferred(NamedTuple):
    """What a network gave one item.

    Attributes:
        values: float32, of the network's output shape.
        milliseconds: The item's share of the time that the network ran; waiting is no part of it.
    """

    values: NDArray[np.float32]
    milliseconds: float


@dataclass(frozen=True, slots=True, eq=False)
class _Binding:
    inputs: dict[str, Any]
    binding: Any
    options: Any


class Session:
    """One network, ready to run.

    Args:
        network: The network.
        device: ``cuda`` or nothing, ``cpu``, or ``auto``: CUDA where it works and the CPU elsewhere.
        threads: Threads that one run may use on the CPU.
        side_by_side: Whether runs on the CPU may go on at once; otherwise they take turns, as on a GPU, and
            one run's memory is all that is taken.
        cuda: How a GPU is used.

    Raises:
        BundleError: The file is no graph that ONNX Runtime can load.
        DeviceError: A GPU, or TensorRT, was asked for and is not really active.
    """

    def __init__(
        self,
        network: Network,
        *,
        device: Device,
        threads: int,
        side_by_side: bool = False,
        cuda: CudaOptions | None = None,
    ) -> None:
        cuda = cuda or CudaOptions()
        self._session = _open(network, device, threads, cuda)
        self._turn: AbstractContextManager[Any] = threading.Lock()
        self._binds = cuda.io_binding or (cuda.graphs and self.provider != CPU)
        self._graphs = cuda.graphs and self.provider != CPU
        self._bindings: dict[tuple[tuple[int, ...], ...], _Binding] = {}
        if side_by_side and self.provider == CPU and not self._binds:
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
            found = self._run_bound(output, feed) if self._binds else self._run(output, feed)
            share = (perf_counter() - start) * 1e3 / items
        return [Inferred(values, share) for values in found[:items]]

    def _run(self, output: str, feed: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        options = [self._run_options(-1)] if self._graphs else []
        (found,) = self._session.run([output], feed, *options)
        values: NDArray[np.float32] = found
        return values

    def _run_bound(self, output: str, feed: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        """Runs with inputs and outputs in the places that they had when this shape was first run."""
        shape = tuple(array.shape for array in feed.values())
        if shape not in self._bindings:
            if len(self._bindings) >= MAX_BINDINGS:
                return self._run(output, feed)
            self._bindings[shape] = self._bind(output, feed)
        bound = self._bindings[shape]
        for name, array in feed.items():
            bound.inputs[name].update_inplace(array)
        self._session.run_with_iobinding(bound.binding, bound.options)
        values: NDArray[np.float32] = bound.binding.copy_outputs_to_cpu()[0]
        return values

    def _bind(self, output: str, feed: Mapping[str, NDArray[np.generic]]) -> _Binding:
        device = "cpu" if self.provider == CPU else "cuda"
        # Copies: on the CPU the value would be the caller's own array, and be written over by the next run.
        inputs = {
            name: ort.OrtValue.ortvalue_from_numpy(array.copy(), device, 0) for name, array in feed.items()
        }
        shape = self._run(output, feed).shape
        binding = self._session.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_ortvalue_output(
            output, ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, device, 0)
        )
        return _Binding(inputs, binding, self._run_options(len(self._bindings) + 1))

    def _run_options(self, graph: int) -> Any:
        """Returns options that record and replay the CUDA graph of this number; -1 for none."""
        options = ort.RunOptions()
        if self._graphs:
            options.add_run_config_entry("gpu_graph_id", str(graph))
        return options


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


def _open(network: Network, device: Device, threads: int, cuda: CudaOptions) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # A plan of the memory is kept for every shape, and makes the arena grow with the number of shapes.
    options.enable_mem_pattern = isinstance(network.input, FixedSize)
    options.intra_op_num_threads = threads
    # The cores are shared with the host pool: a thread that waits must not spin on one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    asked = device == "cuda" or cuda.tensorrt
    if asked or (device == "auto" and has_nvidia_device()):
        session = _cuda_session(network.file, options, cuda)
        if session is not None:
            return session
        if asked:
            raise DeviceError("tensorrt" if cuda.tensorrt else "cuda", why_not(cuda.wanted))
        logger.warning("CUDA is not usable, running on the CPU: %s", why_not(cuda.wanted))
    return _session(network.file, options, [CPU])


def _cuda_session(file: Path, options: ort.SessionOptions, cuda: CudaOptions) -> ort.InferenceSession | None:
    """Returns a session that really runs on CUDA: ONNX Runtime falls back to the CPU without an error."""
    if cuda.wanted not in ort.get_available_providers():
        return None
    load_libraries()
    session = _session(file, options, cuda.providers())
    return session if session.get_providers()[0] == cuda.wanted else None


def _session(file: Path, options: ort.SessionOptions, providers: Providers) -> ort.InferenceSession:
    try:
        return ort.InferenceSession(file, options, providers=providers)
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        raise BundleError(file.parent, f"{file.name} cannot be loaded: {error}") from error
