"""What every writer of masks does when its block ends."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

EMPTY_MASK = "instances with an empty mask"
"""The loss of a mask without a pixel."""
BRIDGED_HOLES = "holes joined by a bridge"
"""The loss of a hole where a format knows rings alone."""
BRIDGED_PARTS = "parts joined by a bridge"
"""The loss of a further part where a format knows one ring per object."""


class ClosingWriter:
    """As a context manager closes on success, and on an exception drops what is unfinished.

    Attributes:
        losses: What the format could not hold or was told to leave out: a sentence, and how often.
    """

    def __init__(self) -> None:
        self.losses: Counter[str] = Counter()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is unusual about the files so far, in sentences for the user."""
        return ()

    def close(self) -> None:
        """Writes what completes the dataset."""

    def discard(self) -> None:
        """Removes what is unfinished."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.discard()
            return
        try:
            self.close()
        except BaseException:
            self.discard()
            raise

    def count(self, found: Mapping[str, int]) -> None:
        """Adds to the losses what was found at all."""
        self.losses.update({loss: times for loss, times in found.items() if times})
