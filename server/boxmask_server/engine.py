"""CFS in ONNX Runtime. It knows nothing of images, boxes or gRPC."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import onnxruntime as ort

from boxmask_core.errors import BundleError, DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from boxmask_core.bundle import Bundle

Device = Literal["auto", "cpu", "cuda"]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
CUDA_OPTIONS = {
    # The default search runs anew, for up to a second, on every new shape.
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
}
BATCH_SIZES = {
    # On the CPU one item at a time is as fast as many, and its answer cannot depend on its neighbours.
    CPU: (1,),
    # On CUDA a fixed set of shapes, each warmed up before the first request.
    CUDA: (1, 2, 4, 8, 16, 32),
}
NVIDIA_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class CfsInput:
    """One box as CFS sees it.

    Attributes:
        pixels: uint8 RGB, ``(size, size, 3)``: the expanded crop.
        box_mask: uint8, ``(size, size)``, 1 inside the box.
        class_index: 0-based place of the class among the network's, or None for an unknown class.
    """

    pixels: NDArray[np.uint8]
    box_mask: NDArray[np.uint8]
    class_index: int | None


class CfsEngine:
    """The CFS network of a bundle on one device.

    Args:
        bundle: Holds the network ``cfs``.
        device: ``cuda`` or nothing, ``cpu``, or ``auto``: CUDA where it works and the CPU elsewhere.
        threads: Threads that one run may use on the CPU.

    Raises:
        BundleError: The bundle holds no CFS network, or its graph is not one.
        DeviceError: ``cuda`` was asked for and is not really active.
    """

    def __init__(self, bundle: Bundle, *, device: Device = "auto", threads: int) -> None:
        self.network = bundle.network("cfs")
        self.class_names = bundle.class_names
        self._session = _open_session(self.network.file, device, threads)
        self._check_graph(bundle)
        self._sizes = BATCH_SIZES[self.provider]
        self._device = threading.Lock()
        logger.info("network 'cfs' runs on %s", self.provider)

    @property
    def provider(self) -> str:
        """The ONNX Runtime provider that runs the network."""
        return str(self._session.get_providers()[0])

    @property
    def input_size(self) -> int:
        """Side of the square input, pixels."""
        return self.network.input_size

    @property
    def digest(self) -> str:
        """``sha256:`` digest of the network's file."""
        return self.network.digest

    def warm_up(self) -> None:
        """Runs every batch size once, so that no request pays for the first run of a shape."""
        side = self.input_size
        blank = CfsInput(np.zeros((side, side, 3), np.uint8), np.zeros((side, side), np.uint8), None)
        for size in self._sizes:
            self.run([blank] * size)

    def run(self, batch: Sequence[CfsInput]) -> list[NDArray[np.float32]]:
        """Computes the foreground probability of every item. May be called from several threads.

        On the CPU an item's answer is the same, bit for bit, whatever else is in the batch.

        Returns:
            float32, 0 to 1, ``(size, size)`` each, in the batch's order.
        """
        answers: list[NDArray[np.float32]] = []
        for start, stop, size in _parts(len(batch), self._sizes):
            feed = self._feed(batch[start:stop], size)
            with self._device:  # the next batch is stacked while this one runs
                (foreground,) = self._session.run(["foreground"], feed)
            answers.extend(foreground[: stop - start])
        return answers

    def _feed(
        self, items: Sequence[CfsInput], size: int
    ) -> dict[str, NDArray[np.uint8] | NDArray[np.float32]]:
        side = self.input_size
        image = np.zeros((size, side, side, 3), dtype=np.uint8)
        box_mask = np.zeros((size, side, side), dtype=np.uint8)
        label = np.zeros((size, len(self.class_names)), dtype=np.float32)
        for i, item in enumerate(items):
            image[i], box_mask[i] = item.pixels, item.box_mask
            if item.class_index is not None:
                label[i, item.class_index] = 1
        return {"image": image, "box_mask": box_mask, "label": label}

    def _check_graph(self, bundle: Bundle) -> None:
        side, classes = self.input_size, len(self.class_names)
        expected = {
            "image": ("tensor(uint8)", [side, side, 3]),
            "box_mask": ("tensor(uint8)", [side, side]),
            "label": ("tensor(float)", [classes]),
        }
        found = {node.name: (node.type, node.shape[1:]) for node in self._session.get_inputs()}
        if found != expected:
            raise BundleError(bundle.root, f"network 'cfs': expected the inputs {expected}, but got {found}")


def _parts(count: int, sizes: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """Yields ``(start, stop, size)``: parts of the largest size, the last one padded to the next size."""
    for start in range(0, count, sizes[-1]):
        stop = min(start + sizes[-1], count)
        yield start, stop, next(size for size in sizes if size >= stop - start)


def _open_session(file: Path, device: Device, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # The cores are shared with the host pool: a thread that waits must not spin on one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if device == "cuda" or (device == "auto" and _has_nvidia_device()):
        session = _cuda_session(file, options)
        if session is not None:
            return session
        if device == "cuda":
            raise DeviceError("cuda", _why_no_cuda())
        logger.warning("CUDA is not usable, running on the CPU: %s", _why_no_cuda())
    return _session(file, options, [CPU])


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
