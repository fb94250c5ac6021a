"""LabelMe: one JSON file per image with shapes of type ``mask`` or ``polygon``, written and read back.

LabelMe 5.3 and later know masks: a PNG of the mask's bounds, between two corners that are both inside
(inclusive). A polygon runs through the centres of pixels, as LabelMe fills it, edges included, and knows no
holes; polygons of one ``group_id`` are one instance. Flags are the shape's flags;
`boxmask_core.formats.kept_masks` says what else a shape carries, which LabelMe keeps when it saves the file.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image, ImageDraw

from boxmask_core.atomic import write_bytes_atomically
from boxmask_core.errors import DatasetError
from boxmask_core.formats.closing import BRIDGED_HOLES
from boxmask_core.formats.image_places import base_name
from boxmask_core.formats.interface import PLAIN
from boxmask_core.formats.json_files import load_json
from boxmask_core.formats.kept_masks import (
    MASK_ERRORS,
    checked_size,
    cropped,
    flag_fields,
    kept_fields,
    mask_bounds,
    placed,
    read_flags,
    restored_mask,
)
from boxmask_core.formats.line_journal import compact_json
from boxmask_core.formats.whole_masks import WholeMaskWriter
from boxmask_core.instances import MaskedImage
from boxmask_core.palette import decode_indexed_png, grey_png
from boxmask_core.polygons import bridged_polygon, connected_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_core.formats.interface import WriterOptions
    from boxmask_core.instances import InstanceMask

FOLDER = "labelme"
LABELS = "labels.txt"
_VERSION = "5.3.0"
_SPECIAL = ("__ignore__", "_background_")
"""What LabelMe's own converters expect at the top of the list of labels."""


class LabelmeMaskWriter(WholeMaskWriter):
    """Writes ``labelme/KEY.json`` (they belong beside the images) and, last, ``labels.txt`` for ``--labels``.

    Args:
        out: The folder to write to.
        class_names: Every class.
        options: What the user decided; overlaps are kept, and ``void_below`` is refused.
        shapes: "mask" holds every mask; "polygon" is one ring per part (8-connected), the parts of an
            instance in one group, and a hole joined to its ring by a bridge of zero width.

    Raises:
        DatasetError: Masks that are not trusted are to become void.
    """

    def __init__(
        self,
        out: Path,
        class_names: Sequence[str],
        options: WriterOptions = PLAIN,
        *,
        shapes: Literal["mask", "polygon"] = "mask",
    ) -> None:
        super().__init__(out, class_names, options)
        self._out = out
        self._shapes = shapes

    def write(self, image: MaskedImage) -> tuple[()]:
        """Writes the file of one image.

        Raises:
            DatasetError: A class is not among the dataset's class names.
            OSError: The file system refuses.
        """
        filled = self.filled(image)
        if self._shapes == "mask":
            shapes = [_mask_shape(mask) for _, mask in filled]
        else:
            shapes = [shape for index, mask in filled for shape in self._polygon_shapes(mask, index + 1)]
        content: dict[str, Any] = {
            "version": _VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": base_name(image.file_name),
            "imageData": None,
            "imageHeight": image.height,
            "imageWidth": image.width,
        }
        place = self._out / FOLDER / f"{image.key}.json"
        write_bytes_atomically(place, compact_json(content) + b"\n", sync=False)
        return ()

    def close(self) -> None:
        """Writes ``labels.txt``."""
        lines = "".join(f"{name}\n" for name in (*_SPECIAL, *self._class_names))
        write_bytes_atomically(self._out / LABELS, lines.encode())

    def _polygon_shapes(self, mask: InstanceMask, group: int) -> list[dict[str, Any]]:
        polygons = [bridged_polygon(part) for part in connected_parts(mask.proposal.mask)]
        found = [polygon for polygon in polygons if polygon is not None]
        self.count({BRIDGED_HOLES: sum(polygon.bridged_holes for polygon in found)})
        corner = np.array([mask.proposal.window.x0, mask.proposal.window.y0])
        group_id = group if len(found) > 1 else None
        return [
            _shape(mask, "polygon", (polygon.points + corner).tolist(), group_id=group_id)
            for polygon in found
        ]


def read_labelme_masks(folder: Path) -> Iterator[MaskedImage]:
    """Yields what `LabelmeMaskWriter` wrote, by key, and masks and polygons that LabelMe itself wrote.

    Args:
        folder: The folder that it wrote to, or one of LabelMe files.

    Raises:
        DatasetError: There is no such folder, a file breaks the format, or has a shape that is neither a mask
            nor a polygon.
    """
    if not folder.is_dir():
        raise DatasetError(folder, "is no folder of LabelMe files")
    root = folder / FOLDER if (folder / FOLDER).is_dir() else folder
    keyed = {file.relative_to(root).with_suffix("").as_posix(): file for file in root.rglob("*.json")}
    for key, file in sorted(keyed.items()):
        content = load_json(file)
        try:
            size = checked_size(int(content["imageWidth"]), int(content["imageHeight"]))
            masks = tuple(_read(shapes, size) for shapes in _instances(content["shapes"]))
            name = file.relative_to(root).with_name(base_name(content["imagePath"])).as_posix()
        except MASK_ERRORS as error:
            raise DatasetError(file, f"cannot be read as LabelMe masks: {error!r}") from error
        yield MaskedImage(key, name, *size, masks)


def _mask_shape(mask: InstanceMask) -> dict[str, Any]:
    bounds = mask_bounds(mask.proposal)
    corners = [[bounds.x0, bounds.y0], [bounds.x1 - 1, bounds.y1 - 1]]
    png = grey_png(cropped(mask.proposal, bounds).astype(np.uint8))  # 0 and 1, as LabelMe writes it
    return {**_shape(mask, "mask", corners), "mask": base64.b64encode(png).decode("ascii")}


def _shape(
    mask: InstanceMask, kind: str, points: list[list[int]], *, group_id: int | None = None
) -> dict[str, Any]:
    return {
        "label": mask.instance.class_name,
        "points": points,
        "group_id": group_id,
        "description": "",
        "shape_type": kind,
        "flags": flag_fields(mask.instance.flags),
        **kept_fields(mask),
    }


def _instances(shapes: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Returns the shapes of each instance: those of one group and label are one."""
    found: dict[object, list[Mapping[str, Any]]] = {}
    for index, shape in enumerate(shapes):
        group = shape.get("group_id")
        name = ("alone", index) if group is None else ("group", group, shape["label"])
        found.setdefault(name, []).append(shape)
    return list(found.values())


def _read(shapes: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> InstanceMask:
    pixels = np.logical_or.reduce([_pixels(shape, size) for shape in shapes])
    first = shapes[0]
    return restored_mask(pixels, 0, 0, size, first["label"], read_flags(first.get("flags") or {}), first)


def _pixels(shape: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Returns what LabelMe fills, bool ``(height, width)``."""
    kind, points = shape["shape_type"], shape["points"]
    if kind == "polygon":
        canvas = Image.new("L", size)
        corners = [(float(x), float(y)) for x, y in points]
        ImageDraw.Draw(canvas).polygon(corners, fill=1, outline=1)
        return np.asarray(canvas) > 0
    if kind == "mask":
        (x, y), _ = points
        pixels = decode_indexed_png(base64.b64decode(shape["mask"], validate=True)) > 0
        return placed(pixels, int(x), int(y), size)
    raise ValueError(f"a shape must be a mask or a polygon, but got {kind!r}")
