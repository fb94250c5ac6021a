"""The segmentation network in ONNX Runtime. It knows nothing of files, requests or gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from boxmask_core.bundle import LGSA
from boxmask_core.errors import BundleError
from boxmask_core.segmentation import softmax
from boxmask_server.networks.buckets import Buckets
from boxmask_server.networks.cuda import CPU, CUDA
from boxmask_server.networks.session import Session, parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from boxmask_core.bundle import Bundle
    from boxmask_server.networks.cuda import CudaOptions
    from boxmask_server.networks.session import Device, Inferred

BATCH_SIZES = {
    # On the CPU one image at a time is as fast as many, takes a fraction of the memory, and its answer cannot
    # depend on its neighbours.
    CPU: (1,),
    CUDA: (1, 2, 4),
}


RUNS_AT_ONCE = 2
"""Runs side by side on the CPU, where several images wait. Each takes the memory of a run."""


class SegmentationEngine:
    """The segmentation network of a bundle on one device.

    On the CPU there are two ways to run it, with the same answers: one image on all threads, which is soonest
    for whoever asks alone, and several side by side on a share of the threads each.

    Args:
        bundle: Holds the network ``lgsa``.
        device: ``cuda`` or nothing, ``cpu``, or ``auto``: CUDA where it works and the CPU elsewhere.
        threads: Threads that one run may use on the CPU.
        cuda: How a GPU is used.

    Raises:
        BundleError: The bundle holds no segmentation network, or its graph is not one.
        DeviceError: ``cuda`` was asked for and is not really active.
    """

    def __init__(
        self, bundle: Bundle, *, device: Device = "auto", threads: int, cuda: CudaOptions | None = None
    ) -> None:
        self.network = bundle.network(LGSA)
        self.class_names = bundle.class_names
        self.size = self.network.any_size()
        self._session = Session(self.network, device=device, threads=threads, cuda=cuda)
        self._beside: Session | None = None
        if self.provider == CPU and threads >= RUNS_AT_ONCE:
            # Where several wait, runs of fewer threads side by side get more done than one of all threads.
            share = threads // RUNS_AT_ONCE
            self._beside = Session(self.network, device="cpu", threads=share, side_by_side=True)
        self._sizes = BATCH_SIZES[CPU if self.provider == CPU else CUDA]
        self.buckets = (Buckets.fine if self.provider == CPU else Buckets.coarse)(self.size)
        self._check_graph(bundle)

    @property
    def provider(self) -> str:
        """The ONNX Runtime provider that runs the network."""
        return self._session.provider

    @property
    def digest(self) -> str:
        """``sha256:`` digest of the network's file."""
        return self.network.digest

    @property
    def max_batch(self) -> int:
        """Images of one size that are worth running together."""
        return self._sizes[-1]

    def warm_up(self) -> None:
        """Runs every bucket in every batch size on CUDA, where the first run of a shape is slow.

        On the CPU no run is, and checking the graph was one.
        """
        if self.provider != CPU:
            for width, height in self.buckets.shapes():
                for size in self._sizes:
                    self.run([np.zeros((height, width, 3), np.uint8)] * size)

    def run(self, batch: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Computes the scores of images of one size. May be called from several threads.

        On the CPU an image's answer is the same, bit for bit, whatever else is in the batch.

        Args:
            batch: uint8 RGB, ``(H, W, 3)`` each, H and W multiples of the network's step.

        Returns:
            float32 scores before the softmax, ``(C, H / stride, W / stride)`` each, in the batch's order.
        """
        return [found.values for found in self.infer(batch)]

    @property
    def runs_at_once(self) -> int:
        """Runs that are worth going on at once."""
        return 1 if self._beside is None else RUNS_AT_ONCE

    def infer(self, batch: Sequence[NDArray[np.uint8]], *, beside: bool = False) -> list[Inferred]:
        """Does what `run` does, and says how long each image took.

        Args:
            batch: As for `run`.
            beside: Whether another run is going on.
        """
        session = self._beside if beside and self._beside is not None else self._session
        answers: list[Inferred] = []
        for start, stop, size in parts(len(batch), self._sizes):
            image = np.zeros((size, *batch[start].shape), dtype=np.uint8)
            image[: stop - start] = batch[start:stop]
            answers.extend(session.run("scores", {"image": image}, stop - start))
        return answers

    def probabilities(self, feed: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        """See `Probed.probabilities`."""
        return softmax(self._session.run("scores", feed, 1)[0].values)[None]

    def _check_graph(self, bundle: Bundle) -> None:
        """Runs the smallest image, and one of twice its width; both must give what the manifest says."""
        step, stride = self.size.step, self.network.output_stride
        for width in (step, 2 * step):
            expected = (len(self.class_names) + 1, step // stride, width // stride)
            try:
                blank = {"image": np.zeros((1, step, width, 3), np.uint8)}
                found = self._session.run("scores", blank, 1)[0].values.shape
            except Exception as error:  # ONNX Runtime's exceptions share no public base class
                problem = f"network 'lgsa' does not run on an image of {width} x {step} pixels: {error}"
                raise BundleError(bundle.root, problem) from error
            if found != expected:
                problem = f"network 'lgsa': expected scores of shape {expected}, but got {found}"
                raise BundleError(bundle.root, f"{problem}; export it again")
