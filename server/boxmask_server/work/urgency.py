"""Who goes first, and until when an answer is wanted."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass


class Priority(enum.Enum):
    """Who goes first where requests wait."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class Urgency:
    """How urgent a request is.

    Attributes:
        priority: Who goes first.
        deadline: When the caller stops waiting, seconds of `time.monotonic`; None if it never does.
    """

    priority: Priority = Priority.INTERACTIVE
    deadline: float | None = None

    def missed(self, work: float = 0.0) -> bool:
        """Tells whether the deadline is past, or will be once so many seconds of work are done."""
        return self.deadline is not None and time.monotonic() + work >= self.deadline


AT_ONCE = Urgency()
"""Somebody waits, for as long as it takes."""
