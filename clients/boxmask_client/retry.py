"""How often, and how patiently, a question is asked again."""

from __future__ import annotations

import random
from dataclasses import dataclass

MOST_ATTEMPTS = 5
"""gRPC counts a larger number as this one."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, and how patiently, a question is asked again. Questions change nothing, so that is safe.

    A server that is not there, or that drains, is asked again after a pause that grows; where there are
    several, the others are asked first, without a pause. An answer that is an error of another kind is final,
    but for a full queue where ``when_full`` says so.

    Attributes:
        attempts: How often one server is asked in all, 1 to 5; 1 asks once. Also how often one item of a
            stream is sent before it is answered by the error that broke its streams.
        initial: Seconds before the second attempt, shortened or stretched by chance by up to a fifth.
        maximum: Longest such pause, seconds.
        multiplier: How much longer every pause is than the one before.
        when_full: How often a single call that is refused with `OverloadedError` is asked again, after the
            pause that the server asks for. 0 leaves that to the caller, who may have something better to do.
        patience: Seconds that a stream which has been answered waits for a server to come back.

    Raises:
        ValueError: One of them is out of its range.
    """

    attempts: int = 4
    initial: float = 0.2
    maximum: float = 2.0
    multiplier: float = 2.0
    when_full: int = 0
    patience: float = 30.0

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= MOST_ATTEMPTS:
            raise ValueError(f"expected 1 to {MOST_ATTEMPTS} attempts, but got {self.attempts}")
        if not 0 < self.initial <= self.maximum:
            raise ValueError(
                f"expected 0 < initial <= maximum, but got {self.initial:g} and {self.maximum:g}"
            )
        if self.multiplier < 1:
            raise ValueError(f"expected a multiplier of at least 1, but got {self.multiplier:g}")
        if self.when_full < 0 or self.patience < 0:
            raise ValueError(f"expected no negative number, but got {self.when_full} and {self.patience:g}")

    def pause(self, failures: int) -> float:
        """Returns the seconds before the next attempt.

        Args:
            failures: How many failed in a row, at least 1.
        """
        longest = min(self.maximum, self.initial * self.multiplier ** (failures - 1))
        return longest * random.uniform(0.8, 1.2)  # callers that failed together do not come back together
