"""CFS in ONNX Runtime. It knows nothing of images, boxes or gRPC."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Protocol

import numpy as np

from boxmask_core.bundle import CFS
from boxmask_core.errors import BundleError
from boxmask_server.networks.session import CPU, CUDA, Inferred, Session, parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from boxmask_core.bundle import Bundle
    from boxmask_server.networks.session import Device

BATCH_SIZES = {
    # On the CPU one item at a time is as fast as many, and its answer cannot depend on its neighbours.
    CPU: (1,),
    # On CUDA a fixed set of shapes, each warmed up before the first request.
    CUDA: (1, 2, 4, 8, 16, 32),
}


class Spread(Protocol):
    """Goes through work, in one thread or in several; yields the results in order, as ``map`` does."""

    def __call__(
        self,
        function: Callable[[Sequence[CfsInput], int], list[Inferred]],
        items: Iterable[Sequence[CfsInput]],
        sizes: Iterable[int],
        /,
    ) -> Iterator[list[Inferred]]:
        """Yields what the function gives every pair."""


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
        self.network = bundle.network(CFS)
        self.class_names = bundle.class_names
        self.input_size = self.network.fixed_side()
        self._session = Session(self.network, device=device, threads=threads, side_by_side=True)
        self._check_graph(bundle)
        self._sizes = BATCH_SIZES[self.provider]

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
        blank = CfsInput(np.zeros((side, side, 3), np.uint8), np.zeros((side, side), np.uint8), None)
        for size in self._sizes:
            self.run([blank] * size)

    def run(self, batch: Sequence[CfsInput]) -> list[NDArray[np.float32]]:
        """Computes the foreground probability of every item. May be called from several threads.

        On the CPU an item's answer is the same, bit for bit, whatever else is in the batch.

        Returns:
            float32, 0 to 1, ``(size, size)`` each, in the batch's order.
        """
        return [found.values for found in self.infer(batch)]

    def infer(self, batch: Sequence[CfsInput], spread: Spread = map) -> list[Inferred]:
        """Does what `run` does, and says how long each item took.

        Args:
            batch: The items.
            spread: How the parts of the batch are gone through: ``map`` for one after the other, an
                executor's ``map`` for side by side, which is worth it on the CPU.
        """
        return list(chain.from_iterable(spread(self._part, *self._parts(batch))))

    def _parts(self, batch: Sequence[CfsInput]) -> tuple[list[Sequence[CfsInput]], list[int]]:
        cuts = list(parts(len(batch), self._sizes))
        return [batch[start:stop] for start, stop, _ in cuts], [size for _, _, size in cuts]

    def _part(self, items: Sequence[CfsInput], size: int) -> list[Inferred]:
        return self._session.run("foreground", self._feed(items, size), len(items))

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
        found = {name: (kind, shape[1:]) for name, (kind, shape) in self._session.inputs().items()}
        if found != expected:
            raise BundleError(bundle.root, f"network 'cfs': expected the inputs {expected}, but got {found}")
