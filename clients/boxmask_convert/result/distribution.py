"""How values between 0 and 1 are distributed, counted in bins: memory does not grow with their number."""

from __future__ import annotations

from typing import Final

BINS: Final = 100
"""Bins of equal width: quantiles are right to a hundredth."""


class Distribution:
    """Counts values between 0 and 1."""

    def __init__(self) -> None:
        self._bins = [0] * BINS
        self._sum = 0.0
        self.count = 0

    def add(self, value: float) -> None:
        """Counts one value; what lies outside 0 to 1 is counted at the nearer end."""
        self._bins[min(max(int(value * BINS), 0), BINS - 1)] += 1
        self._sum += value
        self.count += 1

    @property
    def mean(self) -> float:
        """Mean of the values, exact; 0 where there are none."""
        return self._sum / self.count if self.count else 0.0

    def quantile(self, share: float) -> float:
        """Returns the value that a share of all values lies below, to within a hundredth; 0 without values.

        Args:
            share: 0.5 for the median.
        """
        wanted = share * self.count
        below = 0
        for i, count in enumerate(self._bins):
            if count and below + count >= wanted:
                return (i + (wanted - below) / count) / BINS
            below += count
        return 0.0

    def counts(self, parts: int) -> tuple[int, ...]:
        """Returns how many values lie in each of some equal parts of 0 to 1.

        Args:
            parts: How many; a divisor of `BINS`.
        """
        width = BINS // parts
        return tuple(sum(self._bins[start : start + width]) for start in range(0, BINS, width))
