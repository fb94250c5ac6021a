"""CFS in ONNX Runtime. It knows nothing of images, boxes or gRPC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from boxmask_core.bundle import CFS
from boxmask_core.errors import BundleError
from boxmask_server.networks.cuda import CPU, CUDA
from boxmask_server.networks.session import Session, parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from boxmask_core.bundle import Bundle
    from boxmask_server.networks.cuda import CudaOptions
    from boxmask_server.networks.session import Device, Inferred

BATCH_SIZES = {
    # On the CPU one item at a time is as fast as many, and its answer cannot depend on its neighbours.
    CPU: (1,),
    # On CUDA a fixed set of shapes, each warmed up before the first request.
    CUDA: (1, 2, 4, 8, 16, 32),
}


@dataclass(frozen=True, slots=True, eq=False)
class CfsInput:
    """One box as CFS sees it.

    Attributes:
        pixels: uint8 RGB, ``(size, size, 3)``: the expanded crop.
        box_mask: uint8, ``(size, size)``, 1 inside the box.
        label: float32, ``(classes,)``: 1 for the object's class, 0 elsewhere; all 0 for an unknown class.
    """

    pixels: NDArray[np.uint8]
    box_mask: NDArray[np.uint8]
    label: NDArray[np.float32]


class CfsEngine:
    """The CFS network of a bundle on one device.

    Args:
        bundle: Holds the network ``cfs``.
        device: ``cuda`` or nothing, ``cpu``, or ``auto``: CUDA where it works and the CPU elsewhere.
        threads: Threads that one run may use on the CPU.
        cuda: How a GPU is used.

    Raises:
        BundleError: The bundle holds no CFS network, or its graph is not one.
        DeviceError: ``cuda`` was asked for and is not really active.
    """

    def __init__(
        self, bundle: Bundle, *, device: Device = "auto", threads: int, cuda: CudaOptions | None = None
    ) -> None:
        self.network = bundle.network(CFS)
        self.class_names = bundle.class_names
        self.input_size = self.network.fixed_side()
        self._session = Session(self.network, device=device, threads=threads, side_by_side=True, cuda=cuda)
        self._check_graph(bundle)
        self._sizes = BATCH_SIZES[CPU if self.provider == CPU else CUDA]

    @property
    def provider(self) -> str:
        """The ONNX Runtime provider that runs the network."""
        return self._session.provider

    @property
    def digest(self) -> str:
        """``sha256:`` digest of the network's file."""
        return self.network.digest

    def warm_up(self) -> None:
        """Runs every batch size once, so that no request pays for the first run of a shape."""
        side = self.input_size
        blank = CfsInput(
            np.zeros((side, side, 3), np.uint8), np.zeros((side, side), np.uint8), self.label("")
        )
        for size in self._sizes:
            self.run([blank] * size)

    def run(self, batch: Sequence[CfsInput]) -> list[NDArray[np.float32]]:
        """Computes the foreground probability of every item. May be called from several threads.

        On the CPU an item's answer is the same, bit for bit, whatever else is in the batch.

        Returns:
            float32, 0 to 1, ``(size, size)`` each, in the batch's order.
        """
        return [found.values for found in self.infer(batch)]

    def infer(self, batch: Sequence[CfsInput]) -> list[Inferred]:
        """Does what `run` does, and says how long each item took."""
        answers: list[Inferred] = []
        for start, stop, size in parts(len(batch), self._sizes):
            feed = self._feed(batch[start:stop], size)
            answers.extend(self._session.run("foreground", feed, stop - start))
        return answers

    def probabilities(self, feed: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        """See `Probed.probabilities`."""
        return self._session.run("foreground", feed, 1)[0].values[None]

    def label(self, class_name: str) -> NDArray[np.float32]:
        """Returns the label of a class as the network takes it: all 0 where it does not know the class."""
        return np.array([name == class_name for name in self.class_names], dtype=np.float32)

    def _feed(
        self, items: Sequence[CfsInput], size: int
    ) -> dict[str, NDArray[np.uint8] | NDArray[np.float32]]:
        side = self.input_size
        image = np.zeros((size, side, side, 3), dtype=np.uint8)
        box_mask = np.zeros((size, side, side), dtype=np.uint8)
        label = np.zeros((size, len(self.class_names)), dtype=np.float32)
        for i, item in enumerate(items):
            image[i], box_mask[i], label[i] = item.pixels, item.box_mask, item.label
        return {"image": image, "box_mask": box_mask, "label": label}

    def _check_graph(self, bundle: Bundle) -> None:
        side, classes = self.input_size, len(self.class_names)
        expected = {
            "image": ("tensor(uint8)", [side, side, 3]),
            "box_mask": ("tensor(uint8)", [side, side]),
            "label": ("tensor(float)", [classes]),
        }
        found = {name: (kind, shape[1:]) for name, (kind, shape) in self._session.inputs().items()}
        if found != expected:
            raise BundleError(bundle.root, f"network 'cfs': expected the inputs {expected}, but got {found}")
