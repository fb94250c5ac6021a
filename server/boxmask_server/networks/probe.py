"""Asks a network again what it was asked when it was exported."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from boxmask_core.errors import BundleError
from boxmask_core.probes import ProbeAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from boxmask_core.bundle import Bundle, Network

PROBE_LIMIT: Final = 2e-2
"""Largest difference of a probability to PyTorch's answer: a GPU rounds products to 10 bits."""

logger = logging.getLogger(__name__)


class Probed(Protocol):
    """A network that can be asked."""

    network: Network

    def probabilities(self, feed: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        """Returns the probabilities of one item, batch first, for the graph's inputs by name."""


def check_probes(bundle: Bundle, engines: Iterable[Probed]) -> None:
    """Asks every network its probe.

    Args:
        bundle: Where the networks are from.
        engines: The networks.

    Raises:
        BundleError: A network answers otherwise than it did when it was exported, or not at all.
    """
    for engine in engines:
        name, probe = engine.network.name, engine.network.probe
        if probe is None:
            logger.warning("network %r of %s has no probe: its answers are not checked", name, bundle.root)
            continue
        asked = ProbeAnswer.read(probe)
        try:
            found = engine.probabilities(asked.feed)
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            raise BundleError(bundle.root, f"network {name!r} does not answer its probe: {error}") from error
        difference = float(np.abs(found - asked.probabilities).max())
        if not difference <= PROBE_LIMIT:  # also where it is not a number
            raise BundleError(
                bundle.root,
                f"network {name!r} answers its probe otherwise than when it was exported: a probability "
                f"differs by {difference:.2e}, the limit is {PROBE_LIMIT:.0e}; export it again",
            )
