"""Mean-field inference by the full sum over all pairs of pixels: exact, for small images.

A filter's answer is close to this sum, and least so where an image is small and a cell of the lattice holds
few pixels. Up to `MOST_PIXELS` the sum takes no more than 4 MB and some milliseconds, so that there is no
reason for less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from boxmask_core.densecrf import DenseCrf

MOST_PIXELS: Final = 1024


def full_mean_field(
    image: NDArray[np.uint8], unary: NDArray[np.float32], settings: DenseCrf
) -> NDArray[np.float32]:
    """Infers the beliefs of all pixels.

    Args:
        image: uint8 RGB, ``(H, W, 3)``, of `MOST_PIXELS` at most.
        unary: float32 logarithms of probabilities, ``(L, H, W)``.
        settings: The field.

    Returns:
        float32 beliefs, ``(L, H, W)``.
    """
    labels, height, width = unary.shape
    rows, columns = np.indices((height, width), dtype=np.float32).reshape(2, -1)
    place = _distances(columns, rows)
    colour = _distances(*image.reshape(-1, 3).T.astype(np.float32))
    pairs = _normalised(place / settings.gaussian_xy**2) * settings.gaussian_weight
    pairs += (
        _normalised(place / settings.bilateral_xy**2 + colour / settings.bilateral_rgb**2)
        * settings.bilateral_weight
    )
    seen = unary.reshape(labels, -1)
    beliefs = _softmax(seen)
    for _ in range(settings.iterations):
        beliefs = _softmax(seen + beliefs @ pairs)
    return beliefs.reshape(unary.shape)


def _distances(*coordinates: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the squared distances of all pairs, float32, ``(N, N)``."""
    squares = ((values[:, None] - values) ** 2 for values in coordinates)
    return np.asarray(sum(squares), dtype=np.float32)


def _normalised(distances: NDArray[np.float32]) -> NDArray[np.float32]:
    kernel = np.exp(-distances / 2)
    roots = np.sqrt(kernel.sum(axis=1))
    return np.asarray(kernel / roots / roots[:, None], dtype=np.float32)


def _softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(scores - scores.max(axis=0))
    return np.asarray(powers / powers.sum(axis=0), dtype=np.float32)
