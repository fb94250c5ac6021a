"""LabelMe: one JSON file per image with shapes of type ``mask``, written and read back.

LabelMe 5.3 and later know them. A mask is a PNG of its bounds, between two corners that are both inside
(inclusive). Flags are the shape's flags; `boxmask_core.formats.kept_masks` says what else a shape carries,
which LabelMe keeps when it saves the file.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from boxmask_core.atomic import write_bytes_atomically
from boxmask_core.errors import DatasetError
from boxmask_core.formats.class_names import require_known_classes
from boxmask_core.formats.closing import EMPTY_MASK, ClosingWriter
from boxmask_core.formats.image_places import base_name
from boxmask_core.formats.json_files import load_json
from boxmask_core.formats.kept_masks import (
    MASK_ERRORS,
    cropped,
    flag_fields,
    kept_fields,
    mask_bounds,
    restored_mask,
)
from boxmask_core.formats.line_journal import compact_json
from boxmask_core.instances import Flags, MaskedImage
from boxmask_core.palette import decode_indexed_png

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_core.instances import InstanceMask

FOLDER = "labelme"
LABELS = "labels.txt"
_VERSION = "5.3.0"
_SPECIAL = ("__ignore__", "_background_")
"""What LabelMe's own converters expect at the top of the list of labels."""


class LabelmeMaskWriter(ClosingWriter):
    """Writes ``labelme/KEY.json`` (they belong beside the images) and, last, ``labels.txt`` for ``--labels``.

    Args:
        out: The folder to write to.
        class_names: Every class.
    """

    def __init__(self, out: Path, class_names: Sequence[str]) -> None:
        super().__init__()
        self._out = out
        self._class_names = tuple(class_names)

    def write(self, image: MaskedImage) -> None:
        """Writes the file of one image.

        Raises:
            DatasetError: A class is not among the dataset's class names.
            OSError: The file system refuses.
        """
        require_known_classes(image, self._class_names)
        shapes = [_shape(mask) for mask in image.masks if mask.proposal.mask.any()]
        self.count({EMPTY_MASK: len(image.masks) - len(shapes)})
        content: dict[str, Any] = {
            "version": _VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": base_name(image.file_name),
            "imageData": None,
            "imageHeight": image.height,
            "imageWidth": image.width,
        }
        write_bytes_atomically(self._out / FOLDER / f"{image.key}.json", compact_json(content) + b"\n")

    def close(self) -> None:
        """Writes ``labels.txt``."""
        lines = "".join(f"{name}\n" for name in (*_SPECIAL, *self._class_names))
        write_bytes_atomically(self._out / LABELS, lines.encode())


def read_labelme_masks(folder: Path) -> Iterator[MaskedImage]:
    """Yields what `LabelmeMaskWriter` wrote, by key.

    Args:
        folder: The folder that it wrote to.

    Raises:
        DatasetError: A file breaks the format.
    """
    root = folder / FOLDER
    keyed = {file.relative_to(root).with_suffix("").as_posix(): file for file in root.rglob("*.json")}
    for key, file in sorted(keyed.items()):
        content = load_json(file)
        try:
            size = (int(content["imageWidth"]), int(content["imageHeight"]))
            masks = tuple(_read(shape, size) for shape in content["shapes"])
            name = file.relative_to(root).with_name(content["imagePath"]).as_posix()
        except MASK_ERRORS as error:
            raise DatasetError(file, f"cannot be read as LabelMe masks: {error!r}") from error
        yield MaskedImage(key, name, *size, masks)


def _shape(mask: InstanceMask) -> dict[str, Any]:
    bounds = mask_bounds(mask.proposal)
    return {
        "label": mask.instance.class_name,
        "points": [[bounds.x0, bounds.y0], [bounds.x1 - 1, bounds.y1 - 1]],
        "group_id": None,
        "description": "",
        "shape_type": "mask",
        "flags": flag_fields(mask.instance.flags),
        "mask": _png(cropped(mask.proposal, bounds)),
        **kept_fields(mask),
    }


def _png(pixels: NDArray[np.bool_]) -> str:
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, format="PNG")  # 0 and 1, as LabelMe writes it
    return base64.b64encode(out.getvalue()).decode("ascii")


def _read(shape: Mapping[str, Any], size: tuple[int, int]) -> InstanceMask:
    (x0, y0), _ = shape["points"]
    pixels = decode_indexed_png(base64.b64decode(shape["mask"], validate=True)) > 0
    flags = Flags(**shape["flags"])
    return restored_mask(pixels, int(x0), int(y0), size, shape["label"], flags, shape)
