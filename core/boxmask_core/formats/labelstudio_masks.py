"""Label Studio: masks as brushes, bitmasks or polygons in tasks to import, written and read back.

Masks are predictions, so that an annotator takes them over or not, each with its quality as score. The image
is named as Label Studio's local storage serves it, ``/data/local-files/?d=FILE``, relative to the storage's
root. A polygon runs along the edges of pixels, in percent of the image. Flags and what
`boxmask_core.formats.kept_masks` names stand under ``meta``.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any, BinaryIO, Literal
from urllib.parse import parse_qs, quote, urlsplit

import numpy as np
from PIL import Image, PngImagePlugin

from boxmask_core.errors import DatasetError
from boxmask_core.formats.brush_rle import decode_brush, encode_brush
from boxmask_core.formats.closing import BRIDGED_HOLES, BRIDGED_PARTS
from boxmask_core.formats.edge_rings import edge_polygons, filled_rings
from boxmask_core.formats.interface import PLAIN
from boxmask_core.formats.json_files import load_json
from boxmask_core.formats.kept_masks import (
    MASK_ERRORS,
    checked_size,
    flag_fields,
    full_mask,
    kept_fields,
    read_flags,
    restored_mask,
)
from boxmask_core.formats.keys import key_of
from boxmask_core.formats.line_journal import separator
from boxmask_core.formats.one_file import OneFileWriter
from boxmask_core.images import DECODER_ERRORS
from boxmask_core.instances import MaskedImage
from boxmask_core.palette import png_bytes
from boxmask_core.polygons import joined_rings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_core.formats.interface import WriterOptions
    from boxmask_core.instances import InstanceMask

TASKS = "tasks.json"
_LOCAL = "/data/local-files/?d="
_PNG = "data:image/png;base64,"


class LabelStudioMaskWriter(OneFileWriter):
    """Writes ``tasks.json``: one file, complete or absent, the same whatever the order of the images.

    Args:
        out: The folder to write to.
        class_names: Every class.
        options: What the user decided; overlaps are kept, and ``void_below`` is refused.
        shapes: "brush" for a control ``BrushLabels``, "bitmask" for ``BitmaskLabels``; both hold every mask.
            "polygon", for ``PolygonLabels``, is one ring per instance; further parts and holes hang on
            bridges of zero width, so that what it encloses is exactly the mask.

    Raises:
        DatasetError: Masks that are not trusted are to become void.
        OSError: The file system refuses.
    """

    def __init__(
        self,
        out: Path,
        class_names: Sequence[str],
        options: WriterOptions = PLAIN,
        *,
        shapes: Literal["brush", "bitmask", "polygon"] = "brush",
    ) -> None:
        super().__init__(out, class_names, options, TASKS)
        self._shapes = shapes

    def write(self, image: MaskedImage) -> tuple[()]:
        """Keeps the masks of one image.

        Raises:
            DatasetError: A class is not among the dataset's class names, or the key was written before.
            OSError: The file system refuses.
        """
        results = [self._result(index, mask, image) for index, mask in self.filled(image)]
        scores = [result["score"] for result in results]
        prediction = {
            "model_version": "boxmask",
            "score": round(sum(scores) / len(scores), 4) if scores else 0.0,
            "result": results,
        }
        task = {"data": {"image": _LOCAL + quote(image.file_name, errors="surrogatepass")}}
        size = {"width": image.width, "height": image.height}
        self._journal.add(image.key, {**task, "meta": size, "predictions": [prediction]})
        return ()

    def _assemble(self, file: BinaryIO) -> None:
        file.write(b"[")
        for number, (task,) in enumerate(self._journal.objects(), start=1):
            file.write(separator(number) + task)
        file.write(b"]\n")

    def _result(self, index: int, mask: InstanceMask, image: MaskedImage) -> dict[str, Any]:
        kind = f"{self._shapes}labels"
        shape: dict[str, Any]
        if self._shapes == "brush":
            shape = {
                "format": "rle",
                "rle": encode_brush(full_mask(mask.proposal, image.width, image.height)),
            }
        elif self._shapes == "bitmask":
            png = _bitmask(full_mask(mask.proposal, image.width, image.height))
            shape = {"imageDataURL": _PNG + base64.b64encode(png).decode("ascii")}
        else:
            shape = {"points": self._polygon(mask, image), "closed": True}
        return {
            "id": f"mask{index}",
            "type": kind,
            "from_name": "label",
            "to_name": "image",
            "original_width": image.width,
            "original_height": image.height,
            "image_rotation": 0,
            "value": {**shape, kind: [mask.instance.class_name]},
            "score": round(mask.quality, 4),
            "meta": {**flag_fields(mask.instance.flags), **kept_fields(mask)},
        }

    def _polygon(self, mask: InstanceMask, image: MaskedImage) -> list[list[float]]:
        rings, holes = edge_polygons(mask.proposal.mask)
        self.count({BRIDGED_PARTS: len(rings) - 1, BRIDGED_HOLES: holes})
        corner = np.array([mask.proposal.window.x0, mask.proposal.window.y0])
        ring = joined_rings(rings[0], rings[1:]) + corner
        points: list[list[float]] = (ring * 100 / np.array([image.width, image.height])).tolist()
        return points


def read_labelstudio_masks(path: Path) -> Iterator[MaskedImage]:
    """Yields what `LabelStudioMaskWriter` wrote, in the file's order, also after a way through Label Studio.

    Of a task that was annotated the first annotation is read, else its first prediction.

    Args:
        path: ``tasks.json``, or the folder with it.

    Raises:
        DatasetError: The file breaks the format, or a result is no mask.
    """
    file = path / TASKS if path.is_dir() else path
    tasks = load_json(file)
    if not isinstance(tasks, list):
        raise DatasetError(file, f"must hold a list of tasks, but got {type(tasks).__name__}")
    for number, task in enumerate(tasks):
        try:
            query = urlsplit(task["data"]["image"]).query
            (name,) = parse_qs(query, errors="surrogatepass", strict_parsing=True)["d"]
            size = checked_size(int(task["meta"]["width"]), int(task["meta"]["height"]))
            answers = task.get("annotations") or task["predictions"]
            masks = tuple(_read(result, size) for result in answers[0]["result"])
        except MASK_ERRORS as error:
            raise DatasetError(file, f"task {number} cannot be read as masks: {error!r}") from error
        yield MaskedImage(key_of(name, file), name, *size, masks)


def _bitmask(pixels: NDArray[np.bool_]) -> bytes:
    """Returns the PNG of a mask: black where it is, transparent elsewhere."""
    rgba = np.zeros((*pixels.shape, 4), dtype=np.uint8)
    rgba[pixels, 3] = 255
    return png_bytes(Image.fromarray(rgba))


def _opaque(data: bytes, size: tuple[int, int]) -> NDArray[np.bool_]:
    try:
        with PngImagePlugin.PngImageFile(io.BytesIO(data)) as image:
            if image.size != size or image.mode != "RGBA":
                raise ValueError(f"expected an RGBA PNG of {size}, but got {image.mode} of {image.size}")
            return np.asarray(image)[:, :, 3] > 0
    except DECODER_ERRORS as error:
        raise ValueError(f"the bitmask cannot be decoded: {error}") from error


def _read(result: Mapping[str, Any], size: tuple[int, int]) -> InstanceMask:
    value, kind = result["value"], result["type"]
    if kind == "brushlabels":
        pixels = decode_brush(value["rle"], *size)
    elif kind == "bitmasklabels":
        pixels = _opaque(base64.b64decode(value["imageDataURL"].removeprefix(_PNG), validate=True), size)
    elif kind == "polygonlabels":
        width, height = size
        # Rounded: after the way through percent 640 may be 640.0000000000001, and so outside.
        ring = [(round(x * width / 100, 6), round(y * height / 100, 6)) for x, y in value["points"]]
        pixels = filled_rings([ring], width, height)
    else:
        raise ValueError(f"a result must be a brush, a bitmask or a polygon, but got {kind!r}")
    meta = result.get("meta", {})
    return restored_mask(pixels, 0, 0, size, value[kind][0], read_flags(meta), meta)
