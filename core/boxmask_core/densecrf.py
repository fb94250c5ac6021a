"""DenseCRF: sharpens a label map so that its edges follow the image's.

Mean-field inference in a conditional random field whose every pair of pixels is joined by two Gaussian
kernels: one of place, which takes speckles away, and one of place and colour, which lets pixels of one colour
agree. The model is Potts's, the kernels are normalised symmetrically.

Two engines compute it. ``boxmask`` is our own code, compiled by numba; up to `full_mean_field.MOST_PIXELS`
it sums over all pairs, which is exact, and above that it filters on a permutohedral lattice. ``pydensecrf``
is Kraehenbuehl's code, which always filters: what ours is measured against. A filter's answer is close to
the sum over all pairs, but not the same: the tests say how close.

Source: Kraehenbuehl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials",
NIPS 2011; the default numbers are those of DeepLab-v2 (Chen et al., TPAMI 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from boxmask_core.engines import CRF_ENGINES
from boxmask_core.errors import InvalidInputError, InvalidMaskError, MissingExtraError
from boxmask_core.full_mean_field import MOST_PIXELS, full_mean_field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from boxmask_core.engines import CrfEngine

NEGLIGIBLE = 0.01
"""Labels that are nowhere more probable than this are left out: the time grows with their number."""

HOPELESS = 0.1
"""So are those that nowhere have more than this share of the probability of the pixel's best label."""

LEAST_PROBABILITY = 1e-5
"""Smaller probabilities count as this, for the logarithm of zero would outvote every neighbour."""

_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class DenseCrf:
    """What the field is made of.

    Attributes:
        iterations: Mean-field updates.
        gaussian_weight: Weight of the kernel of place alone.
        gaussian_xy: Its standard deviation, pixels.
        bilateral_weight: Weight of the kernel of place and colour.
        bilateral_xy: Its standard deviation in place, pixels.
        bilateral_rgb: Its standard deviation in colour, 8-bit levels.

    Raises:
        InvalidInputError: There is no iteration, a negative weight, or a deviation that is not positive.
    """

    iterations: int = 10
    gaussian_weight: float = 3.0
    gaussian_xy: float = 1.0
    bilateral_weight: float = 4.0
    bilateral_xy: float = 67.0
    bilateral_rgb: float = 3.0

    def __post_init__(self) -> None:
        weights = min(self.gaussian_weight, self.bilateral_weight)
        deviations = min(self.gaussian_xy, self.bilateral_xy, self.bilateral_rgb)
        if not (self.iterations >= 1 and weights >= 0 and deviations > 0):
            raise InvalidInputError(
                "a DenseCRF must have at least 1 iteration, weights of 0 or more and deviations above 0, "
                f"but got {self}"
            )


DEEPLAB_V2 = DenseCrf()


def dense_crf(
    image: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    settings: DenseCrf = DEEPLAB_V2,
    *,
    engine: CrfEngine = "boxmask",
) -> NDArray[np.float32]:
    """Sharpens class probabilities by the colours of their image.

    With ``boxmask`` other Python threads run at the same time, and the same input gives the same bits. With
    ``pydensecrf`` they get their turn between two iterations, but not within one.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
        probabilities: float32, ``(C, H, W)``, 0 to 1; every pixel's sum to 1.
        settings: The field.
        engine: Who computes it.

    Returns:
        float32 probabilities, ``(C, H, W)``, every pixel's sum to 1. Labels that were `NEGLIGIBLE` or
        `HOPELESS` are 0.

    Raises:
        InvalidInputError: The image is not of that kind, there is no such engine, or the deviations are too
            small for a lattice.
        InvalidMaskError: The probabilities are not, or have another size than the image.
        MissingExtraError: The extra is not installed: ``local``, or ``crf`` for pydensecrf.
    """
    _check_image(image)
    _check_probabilities(probabilities, image.shape[:2])
    if engine not in CRF_ENGINES:
        raise InvalidInputError(f"expected the engine to be one of {CRF_ENGINES}, but got {engine!r}")
    kept = _contenders(probabilities)
    out = np.zeros(probabilities.shape, dtype=np.float32)
    if len(kept) == 1:
        out[kept] = 1
        return out
    unary = np.log(np.maximum(probabilities[kept], LEAST_PROBABILITY), dtype=np.float32)
    out[kept] = (_boxmask if engine == "boxmask" else _pydensecrf)(image, unary, settings)
    return out


def _contenders(probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
    # A pixel's most probable label has 1 / C at least, so it stays however many labels there are.
    least = min(NEGLIGIBLE, 0.5 / len(probabilities))
    likely = np.flatnonzero(probabilities.max(axis=(1, 2)) > least)
    bar = HOPELESS * probabilities[likely].max(axis=0)
    return np.array([label for label in likely if (probabilities[label] > bar).any()], dtype=np.intp)


def _boxmask(image: NDArray[np.uint8], unary: NDArray[np.float32], settings: DenseCrf) -> NDArray[np.float32]:
    if image.size // 3 <= MOST_PIXELS:
        return full_mean_field(image, unary, settings)
    from boxmask_core.mean_field import mean_field  # needs numba, which a client does not install

    return mean_field(image, np.ascontiguousarray(unary), settings)


def _pydensecrf(
    image: NDArray[np.uint8], unary: NDArray[np.float32], settings: DenseCrf
) -> NDArray[np.float32]:
    labels, height, width = unary.shape
    field = _library().DenseCRF2D(width, height, labels)
    field.setUnaryEnergy(np.ascontiguousarray(-unary.reshape(labels, -1)))
    field.addPairwiseGaussian(sxy=settings.gaussian_xy, compat=settings.gaussian_weight)
    field.addPairwiseBilateral(
        sxy=settings.bilateral_xy,
        srgb=settings.bilateral_rgb,
        rgbim=np.require(image, requirements=("C", "W")),  # the engine asks for memory that it could write
        compat=settings.bilateral_weight,
    )
    belief, *scratch = field.startInference()
    for _ in range(settings.iterations):
        field.stepInference(belief, *scratch)
    return np.array(belief, dtype=np.float32).reshape(unary.shape)


def _library() -> Any:
    try:
        from pydensecrf import densecrf
    except ModuleNotFoundError as error:
        raise MissingExtraError("the DenseCRF", "pydensecrf", "crf") from error
    return densecrf


def _check_image(image: NDArray[np.uint8]) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise InvalidInputError(
            f"expected the image to be uint8 RGB of shape (H, W, 3), but got {image.dtype} of {image.shape}"
        )


def _check_probabilities(probabilities: NDArray[np.float32], size: tuple[int, ...]) -> None:
    if probabilities.ndim != 3 or probabilities.shape[1:] != size or not len(probabilities):
        rule = f"expected one plane of {size} per class, as the image has, but got {probabilities.shape}"
        raise InvalidMaskError("the array of probabilities", rule)
    least, off = probabilities.min(), np.abs(probabilities.sum(axis=0) - 1).max()
    if not (least >= 0 and off <= _SUM_TOLERANCE):  # also where there is a NaN
        rule = "expected every pixel's probabilities to be 0 or more and to sum to 1"
        found = f"but got {least:g} at least and sums that are off by up to {off:g}"
        raise InvalidMaskError("the array of probabilities", f"{rule}, {found}")
