"""Probes: a question that a network was asked when it was exported, and the answer that it gave in PyTorch.

A server asks it again before it trusts a bundle: a file that is whole but holds another network, or a runtime
that computes something else, is noticed before a request is.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from boxmask_core.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

SIDE: Final = 192
"""Side of the picture that probes show, pixels."""
_INPUT: Final = "input."
_ANSWER: Final = "probabilities"


@dataclass(frozen=True, slots=True, eq=False)
class ProbeAnswer:
    """A question and its answer.

    Attributes:
        feed: Inputs of the graph by name, batch first, of one item.
        probabilities: float32, what the network answered in PyTorch, batch first.
    """

    feed: Mapping[str, NDArray[np.generic]]
    probabilities: NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """Returns the content of a probe's file."""
        out = io.BytesIO()
        arrays = {_INPUT + name: array for name, array in self.feed.items()}
        np.savez_compressed(out, **arrays, **{_ANSWER: self.probabilities.astype(np.float32)})  # type: ignore[arg-type]  # its stub takes a bool among the names
        return out.getvalue()

    @staticmethod
    def read(file: Path) -> ProbeAnswer:
        """Reads a probe's file.

        Raises:
            BundleError: It is none.
        """
        try:
            with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
                feed = {name.removeprefix(_INPUT): arrays[name] for name in arrays.files if name != _ANSWER}
                return ProbeAnswer(feed, arrays[_ANSWER])
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise BundleError(file.parent, f"{file.name} is no probe: {error}; export it again") from error


def picture() -> NDArray[np.uint8]:
    """Returns the picture that probes show: uint8 RGB, ``(SIDE, SIDE, 3)``, a disc before a shaded ground.

    It has colours, edges and textures of several sizes, and is nobody's photograph.
    """
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    ground = np.stack([x, y, 0.5 + 0.5 * np.sin(40 * (x + y))], axis=-1) * 120
    inside = (x - 0.5) ** 2 + (y - 0.45) ** 2 < 0.08
    disc = np.stack([0.9 - 0.3 * y, 0.5 + 0.2 * np.sin(90 * x), 0.3 + 0.4 * x], axis=-1) * 255
    return np.where(inside[..., None], disc, ground).astype(np.uint8)
