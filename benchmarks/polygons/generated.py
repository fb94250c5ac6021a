"""Generated folders of YOLO boxes, and the masks of what their images show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SIDE: Final = 96
CLASSES: Final = ("cat", "dog")


@dataclass(frozen=True, slots=True)
class Ellipse:
    """A bright ellipse on a dark ground, and the box around it.

    Attributes:
        x: Its centre, pixels.
        y: Likewise.
        rx: Half its width, pixels.
        ry: Half its height, pixels.
        class_index: 0-based.
    """

    x: int
    y: int
    rx: int
    ry: int
    class_index: int = 0

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom, the last two exclusive."""
        return self.x - self.rx, self.y - self.ry, self.x + self.rx + 1, self.y + self.ry + 1


def random_ellipses(count: int, seed: int = 0) -> list[Ellipse]:
    """Returns ellipses of which no two have the same box."""
    rng = np.random.default_rng(seed)
    found: dict[Ellipse, None] = {}
    while len(found) < count:
        rx, ry = (int(radius) for radius in rng.integers(6, 20, 2))
        x = int(rng.integers(rx + 4, SIDE - rx - 4))
        y = int(rng.integers(ry + 4, SIDE - ry - 4))
        found.setdefault(Ellipse(x, y, rx, ry))
    return list(found)


def write_folder(folder: Path, images: dict[str, Sequence[Ellipse]], unanswered: frozenset[Ellipse]) -> None:
    """Writes images, labels and ``data.yaml``, and ``answers.npz`` for the stand-in of SAM.

    Args:
        folder: Where.
        images: What each image shows, by its path without suffix.
        unanswered: These cannot be seen, and the model finds nothing for their boxes.
    """
    rng = np.random.default_rng(0)
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, shown in images.items():
        pixels = rng.integers(20, 60, (SIDE, SIDE, 3), dtype=np.uint8)
        masks = []
        for ellipse in shown:
            mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
            cv2.ellipse(mask, (ellipse.x, ellipse.y), (ellipse.rx, ellipse.ry), 0, 0, 360, 1, cv2.FILLED)
            if ellipse not in unanswered:
                inside = mask.astype(np.bool_)
                pixels[inside] += np.uint8(150)
                masks.append(inside)
        for kind in ("images", "labels"):
            (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "images" / f"{name}.png")
        text = "".join(_label(ellipse) for ellipse in shown)
        (folder / "labels" / f"{name}.txt").write_text(text, encoding="utf-8")
        key = name.replace("/", "-")
        arrays[f"boxes/{key}"] = np.array([ellipse.box for ellipse in shown], dtype=np.float64).reshape(-1, 4)
        arrays[f"masks/{key}"] = np.array(masks, dtype=np.bool_).reshape(-1, SIDE, SIDE)
    np.savez_compressed(folder / "answers.npz", allow_pickle=False, **arrays)
    names = "".join(f"  {index}: {name}\n" for index, name in enumerate(CLASSES))
    text = f"path: .\ntrain: images\nval: images\nnames:\n{names}"
    (folder / "data.yaml").write_text(text, encoding="utf-8")


def _label(ellipse: Ellipse) -> str:
    x0, y0, x1, y1 = ellipse.box
    numbers = ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)
    return f"{ellipse.class_index} {' '.join(f'{number / SIDE:.9f}' for number in numbers)}\n"
