"""Learning-rate schedules as pure functions."""

from __future__ import annotations

import math


def step_decay(epoch: int, *, factor: float, every: int) -> float:
    """Returns the paper's multiplier: ``factor`` to the number of whole periods gone by.

    Args:
        epoch: 0-based epoch.
        factor: Multiplier per period, 0.8 in the paper.
        every: Epochs per period, 10 in the paper.
    """
    return float(factor ** (epoch // every))


def warmup_cosine(step: int, *, total: int, warmup: int) -> float:
    """Returns a multiplier that rises linearly to 1 and falls to 0 along half a cosine.

    Args:
        step: 0-based optimizer step.
        total: Steps of the whole run.
        warmup: Steps of the rise.
    """
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(total - warmup, 1)
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def poly(step: int, *, total: int, power: float, warmup: int, warmup_factor: float) -> float:
    """Returns DeepLab's multiplier ``(1 - step / total)^power``, smaller by a factor while warming up.

    Args:
        step: 0-based optimizer step.
        total: Steps of the whole run.
        power: 0.9 in DeepLab (Chen et al. 2017).
        warmup: Steps of the warm-up; one epoch in Xie et al. 2020.
        warmup_factor: Their multiplier; 0.1 in Xie et al. 2020.
    """
    return float((1 - step / total) ** power) * (warmup_factor if step < warmup else 1.0)
