"""What a client asks."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from boxmask_core.errors import InvalidImageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from boxmask_core.instances import Instance

Method = Literal["box", "grabcut", "cfs"]
"""How a mask is made: the filled box, GrabCut from the box alone, or the network."""

Priority = Literal["interactive", "bulk"]
"""Who goes first where questions wait: those that somebody waits for, or those for whenever there is time."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One image and the boxes to be masked.

    Attributes:
        image: JPEG, PNG, WebP, BMP or TIFF bytes, the path of such a file, or uint8 RGB ``(H, W, 3)``.
        instances: The objects. None is allowed.
        method: How masks are made.
        refine: Whether GrabCut sharpens the network's answer; other methods ignore it.
        class_names: Class names in the label map's order, the first has index 1. Empty: the network's,
            then the other classes of the instances in order of appearance.
        label_map: Whether the answer holds the label map.
        priority: Who goes first. None: ``interactive`` for a call of its own, ``bulk`` for an item of a
            stream.
        bundle: The bundle whose network answers; empty: the server's first.
        version: Its version; empty: the latest.
    """

    image: bytes | Path | NDArray[np.uint8]
    instances: Sequence[Instance] = ()
    method: Method = "cfs"
    refine: bool = True
    class_names: Sequence[str] = ()
    label_map: bool = True
    priority: Priority | None = None
    bundle: str = ""
    version: str = ""

    def encoded_image(self) -> bytes:
        """Returns the image as it travels; see `encoded`."""
        return encoded(self.image)


@dataclass(frozen=True, slots=True, eq=False)
class SegmentQuestion:
    """One image to be segmented.

    Attributes:
        image: JPEG, PNG, WebP, BMP or TIFF bytes, the path of such a file, or uint8 RGB ``(H, W, 3)``.
        crf: Whether a DenseCRF sharpens the probabilities.
        scales: Sizes to show the image to the network at, relative to its own; at most 8, each 0.25 to 4. The
            probabilities of all views are averaged.
        flip: Whether every view is shown mirrored as well.
        scores: Whether the answer holds the probabilities of each class that is found.
        priority: As in `Question`.
        bundle: Likewise.
        version: Likewise.
    """

    image: bytes | Path | NDArray[np.uint8]
    crf: bool = False
    scales: Sequence[float] = (1.0,)
    flip: bool = False
    scores: bool = False
    priority: Priority | None = None
    bundle: str = ""
    version: str = ""

    def encoded_image(self) -> bytes:
        """Returns the image as it travels; see `encoded`."""
        return encoded(self.image)


def encoded(image: bytes | Path | NDArray[np.uint8]) -> bytes:
    """Returns an image as it travels: a file as it is, an array as a lossless PNG.

    Raises:
        OSError: The file cannot be read.
        InvalidImageError: The array is not uint8 RGB.
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, Path):
        return image.read_bytes()
    return _png(image)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        found = f"expected a uint8 array of shape (H, W, 3), but got {pixels.dtype} {pixels.shape}"
        raise InvalidImageError("the array", found)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
