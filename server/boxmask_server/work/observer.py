"""Whom the work reports to, so that it need not know how it is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Observer(Protocol):
    """Is told what happens to batches."""

    def batch(
        self, network: str, items: int, pixels: int, padding: int, waited: Sequence[float], seconds: float
    ) -> None:
        """A batch was run.

        Args:
            network: The network that ran it.
            items: Its items.
            pixels: Pixels that the network was given, padding included.
            padding: Those of them that are padding.
            waited: Seconds that each item waited for the batch to leave.
            seconds: Seconds that the run took, waiting for the device included.
        """

    def dropped(self, reason: str) -> None:
        """An item was dropped before it cost a run: ``cancelled`` or ``deadline``."""

    def restarted(self, network: str) -> None:
        """The batcher of a network failed by a fault of its own, and began anew."""


class Nobody:
    """An observer that looks away."""

    def batch(
        self, network: str, items: int, pixels: int, padding: int, waited: Sequence[float], seconds: float
    ) -> None:
        """See `Observer.batch`."""

    def dropped(self, reason: str) -> None:
        """See `Observer.dropped`."""

    def restarted(self, network: str) -> None:
        """See `Observer.restarted`."""
