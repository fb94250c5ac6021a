"""Why a mask is to be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from boxmask_core.grabcut import Fallback

if TYPE_CHECKING:
    from boxmask_convert.result.distribution import Distribution
    from boxmask_convert.result.suspicious import Suspect

MANY_PARTS: Final = 4
"""On photographs one mask in a hundred has so many parts: what stands before an object cuts it into two or
three."""
SAME_FROM: Final = 0.6
"""IoU with another mask of the image from which on one of them may hold the other's object."""
FAR_FILL: Final = 0.15
"""Least difference to the class's median fill that is worth a look."""
JUDGED_FROM: Final = 20
"""Masks from which on a class's fill is known well enough."""


def reasons_of(suspect: Suspect, fills: Distribution, *, is_low: bool) -> tuple[tuple[str, str], ...]:
    """Returns why a mask is to be looked at, each reason as a short name and a sentence.

    Args:
        suspect: The mask.
        fills: How the fill of its class is distributed.
        is_low: Whether it is among those of lowest quality.
    """
    signals = suspect.signals
    reasons = []
    if is_low:
        reasons.append(("lowest quality", "of the lowest quality"))
    if is_far(suspect, fills):
        lower, upper = 100 * fills.quantile(0.25), 100 * fills.quantile(0.75)
        usual = f"half of its class fill {lower:.0f} to {upper:.0f} %"
        reasons.append(("unusual fill", f"fills {100 * signals.fill:.0f} % of its box; {usual}"))
    if signals.parts >= MANY_PARTS:
        reasons.append(("many parts", f"falls into {signals.parts} parts"))
    if signals.rivalry is not None and signals.rivalry >= SAME_FROM:
        reasons.append(("same as another", f"much the same as another mask (IoU {signals.rivalry:.2f})"))
    if suspect.hidden >= 1:
        reasons.append(("hidden", "lies wholly under other masks"))
    if suspect.fallback is not Fallback.NONE:
        reasons.append(("fallback", "a fallback gave it"))
    return tuple(reasons)


def deviation(suspect: Suspect, fills: Distribution) -> float:
    """Returns how far a mask's fill is from the median of its class, 0 to 1."""
    return abs(suspect.signals.fill - fills.quantile(0.5))


def is_far(suspect: Suspect, fills: Distribution) -> bool:
    """Says whether the fill lies beyond Tukey's fences: 1.5 interquartile ranges beyond the quartiles."""
    if fills.count < JUDGED_FROM or deviation(suspect, fills) < FAR_FILL:
        return False
    lower, upper = fills.quantile(0.25), fills.quantile(0.75)
    reach = 1.5 * (upper - lower)
    return not lower - reach <= suspect.signals.fill <= upper + reach
