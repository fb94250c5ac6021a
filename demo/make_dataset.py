"""Makes the demo's dataset: photographs that scikit-image ships, with boxes drawn by hand, as a VOC folder.

The boxes were drawn by looking at the pictures. Among them are classes that the starter bundle was not
trained on, boxes that overlap, boxes inside boxes, and a grey photograph.

Usage: ``python -m demo.make_dataset OUT``
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import skimage.data
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Corners = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Photograph:
    """One photograph and its boxes.

    Attributes:
        load: Loads it: uint8, ``(H, W)`` or ``(H, W, 3)``.
        boxes: Class name and x0, y0, x1, y1: pixels, 0-based, half-open.
    """

    load: Callable[[], NDArray[np.uint8]]
    boxes: tuple[tuple[str, Corners], ...]


def _top_coins() -> NDArray[np.uint8]:
    image: NDArray[np.uint8] = skimage.data.coins()  # type: ignore[no-untyped-call]  # scikit-image leaves it untyped
    return image[:92]  # the first row, all of which is boxed


def _left_motorcycle() -> NDArray[np.uint8]:
    image: NDArray[np.uint8] = skimage.data.stereo_motorcycle()[0]  # type: ignore[no-untyped-call]  # as above
    return image


PHOTOGRAPHS = {
    "astronaut": Photograph(
        skimage.data.astronaut,
        (
            ("person", (18, 15, 364, 512)),
            ("helmet", (277, 343, 512, 512)),
            ("rocket", (354, 0, 458, 288)),
        ),
    ),
    "chelsea": Photograph(
        skimage.data.chelsea,
        (
            ("cat", (0, 0, 400, 300)),
            ("eye", (135, 85, 208, 149)),
            ("eye", (297, 109, 345, 165)),
        ),
    ),
    "coffee": Photograph(
        skimage.data.coffee,
        (
            ("cup", (173, 18, 408, 308)),
            ("saucer", (76, 70, 480, 391)),
            ("spoon", (317, 66, 426, 327)),
        ),
    ),
    "coins": Photograph(
        _top_coins,
        (
            ("coin", (22, 33, 68, 76)),
            ("coin", (81, 38, 121, 76)),
            ("coin", (132, 28, 180, 75)),
            ("coin", (192, 28, 241, 75)),
            ("coin", (255, 33, 298, 74)),
            ("coin", (305, 15, 366, 73)),
        ),
    ),
    "motorcycle": Photograph(
        _left_motorcycle,
        (
            ("motorbike", (94, 17, 685, 453)),
            ("bench", (47, 105, 282, 310)),
        ),
    ),
    "rocket": Photograph(
        skimage.data.rocket,
        (("rocket", (309, 126, 335, 408)),),
    ),
}


def make_dataset(out: Path) -> Path:
    """Writes the dataset.

    Args:
        out: The folder to fill; what it holds already is overwritten.

    Returns:
        The VOC folder.
    """
    for folder in ("Annotations", "JPEGImages"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for key, photograph in PHOTOGRAPHS.items():
        image = Image.fromarray(photograph.load())
        image.save(out / "JPEGImages" / f"{key}.jpg", quality=92)
        annotation = _annotation(key, image.size, photograph.boxes)
        annotation.write(out / "Annotations" / f"{key}.xml", encoding="utf-8")
    return out


def _annotation(
    key: str, size: tuple[int, int], boxes: tuple[tuple[str, Corners], ...]
) -> ElementTree.ElementTree[ElementTree.Element]:
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = f"{key}.jpg"
    _children(ElementTree.SubElement(root, "size"), width=size[0], height=size[1])
    for name, (x0, y0, x1, y1) in boxes:
        element = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(element, "name").text = name
        # VOC counts from 1 and includes the last pixel.
        _children(ElementTree.SubElement(element, "bndbox"), xmin=x0 + 1, ymin=y0 + 1, xmax=x1, ymax=y1)
    ElementTree.indent(root)
    return ElementTree.ElementTree(root)


def _children(element: ElementTree.Element, **values: int) -> None:
    for tag, value in values.items():
        ElementTree.SubElement(element, tag).text = str(value)


if __name__ == "__main__":
    make_dataset(Path(sys.argv[1]))
