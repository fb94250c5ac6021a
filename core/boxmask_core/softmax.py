"""A softmax over the labels of a row of pixels, written so that it compiles to vector instructions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from boxmask_core.jit import jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_MOST = np.float32(60)
"""e to minus this, times a small weight, is still a normal number: others are slow on some processors."""
_PER_LOG_2 = np.float32(1.4426950408889634)
_LOG_2_HIGH, _LOG_2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_ROUNDER = np.float32(1.5 * 2**23)
_P0, _P1, _P2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
_P3, _P4 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1)


@jit
def softmax_row(
    scores: NDArray[np.float32], out: NDArray[np.float32], y: int, room: NDArray[np.float32]
) -> None:
    """Turns the scores of a row of pixels into probabilities.

    Args:
        scores: float32, ``(L, W)``.
        out: float32, ``(L, H, W)``, whose row y is written.
        y: The row.
        room: float32, ``(2, W)``: scratch.
    """
    if len(scores) == 2:
        _softmax_of_two(scores[0], scores[1], out[0, y], out[1, y])
        return
    labels, width = scores.shape
    top, total = room[0], room[1]
    top[:] = scores[0]
    total[:] = _ZERO
    for label in range(1, labels):
        row = scores[label]
        for x in range(width):
            top[x] = max(top[x], row[x])
    for label in range(labels):
        row, power = scores[label], out[label, y]
        for x in range(width):
            power[x] = exp(row[x] - top[x])
            total[x] += power[x]
    for x in range(width):
        total[x] = _ONE / total[x]
    for label in range(labels):
        power = out[label, y]
        for x in range(width):
            power[x] *= total[x]


@jit
def _softmax_of_two(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    one: NDArray[np.float32],
    other: NDArray[np.float32],
) -> None:
    for x in range(len(first)):
        odds = exp(second[x] - first[x])
        share = _ONE / (_ONE + odds)
        one[x] = share
        other[x] = odds * share


@jit
def exp(power: np.float32) -> np.float32:
    """Returns e to a power, to 2e-7 of itself; the power counts as -60 at least and as 60 at most.

    Source: expf of Moshier's Cephes library: a power of two times a polynomial.
    """
    power = min(max(power, -_MOST), _MOST)
    twos = (power * _PER_LOG_2 + _ROUNDER) - _ROUNDER
    rest = power - twos * _LOG_2_HIGH - twos * _LOG_2_LOW
    value = ((((_P0 * rest + _P1) * rest + _P2) * rest + _P3) * rest + _P4) * rest + _HALF
    value = value * rest * rest + rest + _ONE
    exponent = np.int32((np.int32(twos) + np.int32(127)) << np.int32(23))
    return value * exponent.view(np.float32)
