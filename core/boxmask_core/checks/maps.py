"""Label maps in PNG files, opened for a check: what is wrong with one is found, not raised."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import PngImagePlugin

from boxmask_core.checks import rules
from boxmask_core.errors import DatasetError, InvalidImageError, InvalidMaskError
from boxmask_core.images import DECODER_ERRORS
from boxmask_core.palette import MAX_PIXELS, decode_label_map, voc_palette, void_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_core.checks.findings import Findings
    from boxmask_core.palette import LabelArray


@dataclass(frozen=True, slots=True)
class LabelMap:
    """One label map.

    Attributes:
        labels: uint8 or uint16 indices, ``(H, W)``; the largest of the type is void.
        palette: uint8 RGB, ``(N, 3)``, or None where the PNG is greyscale.
    """

    labels: LabelArray
    palette: NDArray[np.uint8] | None

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)``, pixels."""
        height, width = self.labels.shape
        return width, height

    @property
    def void(self) -> int:
        """The index of pixels that belong to nothing."""
        return void_of(self.labels)

    def indices(self) -> list[int]:
        """Returns every index that occurs, in order."""
        found: list[int] = np.flatnonzero(np.bincount(self.labels.ravel())).tolist()
        return found


def open_map(file: Path, findings: Findings) -> LabelMap | None:
    """Reads a label map; None where it cannot be read, which is then among the findings."""
    try:
        data = file.read_bytes()
        labels = decode_label_map(data, what=file.name)
        return LabelMap(labels, _palette(data))
    except InvalidMaskError as error:
        findings.add(rules.WRONG_MODE, str(file), str(error))
    except (InvalidImageError, OSError) as error:
        findings.add(rules.UNREADABLE_FILE, str(file), str(error))
    return None


def open_colours(file: Path, findings: Findings) -> NDArray[np.uint8] | None:
    """Reads an RGB PNG, uint8 ``(H, W, 3)``; None where it cannot be read, a finding then."""
    try:
        with PngImagePlugin.PngImageFile(io.BytesIO(file.read_bytes())) as image:
            if image.width * image.height > MAX_PIXELS:
                findings.add(
                    rules.UNREADABLE_FILE, str(file), f"it claims {image.width} x {image.height} pixels"
                )
                return None
            if image.mode not in {"RGB", "RGBA"}:
                findings.add(rules.WRONG_MODE, str(file), f"expected RGB, but got {image.mode}")
                return None
            return np.asarray(image)[:, :, :3]
    except FileNotFoundError:
        findings.add(rules.MISSING_FILE, str(file))
    except DECODER_ERRORS as error:
        findings.add(rules.UNREADABLE_FILE, str(file), str(error))
    return None


def told_names(read: Callable[[], tuple[str, ...] | None], findings: Findings) -> tuple[str, ...] | None:
    """Returns what reads the class names; None also where they cannot be read, which is a finding then."""
    try:
        return read()
    except DatasetError as error:
        findings.add(rules.UNREADABLE_FILE, str(error.where), error.problem)
        return None


def check_palette(found: LabelMap, indices: Collection[int], findings: Findings, where: str) -> None:
    """Compares the colours of the indices that occur with Pascal VOC's; a greyscale PNG has none."""
    if found.palette is None:
        return
    expected = voc_palette()
    for index in indices:
        colour = found.palette[index].tolist() if index < len(found.palette) else None
        if colour != expected[index].tolist():
            told = f"index {index} has {colour}, Pascal VOC gives it {expected[index].tolist()}"
            findings.add(rules.WRONG_PALETTE, where, told)
            return


def _palette(data: bytes) -> NDArray[np.uint8] | None:
    with PngImagePlugin.PngImageFile(io.BytesIO(data)) as image:
        palette = image.getpalette("RGB")
    return None if palette is None else np.array(palette, dtype=np.uint8).reshape(-1, 3)
