"""Label Studio: masks as brushes or bitmasks in tasks to import, written and read back.

Masks are predictions, so that an annotator takes them over or not, each with its quality as score. The image
is named as Label Studio's local storage serves it, ``/data/local-files/?d=FILE``, relative to the storage's
root. Flags and what `boxmask_core.formats.kept_masks` names stand under ``meta``.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, quote, urlsplit

import numpy as np
from PIL import Image, PngImagePlugin

from boxmask_core.atomic import open_atomically
from boxmask_core.errors import DatasetError
from boxmask_core.formats.brush_rle import decode_brush, encode_brush
from boxmask_core.formats.class_names import require_known_classes
from boxmask_core.formats.closing import EMPTY_MASK, ClosingWriter
from boxmask_core.formats.json_files import load_json
from boxmask_core.formats.kept_masks import MASK_ERRORS, flag_fields, full_mask, kept_fields, restored_mask
from boxmask_core.formats.keys import key_of
from boxmask_core.formats.line_journal import LineJournal, compact_json, separator
from boxmask_core.images import DECODER_ERRORS
from boxmask_core.instances import Flags, MaskedImage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_core.instances import InstanceMask

TASKS = "tasks.json"
_LOCAL = "/data/local-files/?d="
_PNG = "data:image/png;base64,"
_FLAGS = ("difficult", "truncated", "occluded", "crowd")


class LabelStudioMaskWriter(ClosingWriter):
    """Writes ``tasks.json``: one file, complete or absent, the same whatever the order of the images.

    Args:
        out: The folder to write to.
        class_names: Every class.
        shapes: "brush" for a control ``BrushLabels``, "bitmask" for ``BitmaskLabels``; both hold every mask.

    Raises:
        OSError: The file system refuses.
    """

    def __init__(
        self, out: Path, class_names: Sequence[str], *, shapes: Literal["brush", "bitmask"] = "brush"
    ) -> None:
        super().__init__()
        self._path = out / TASKS
        self._class_names = tuple(class_names)
        self._shapes = shapes
        self._journal = LineJournal(out, TASKS)

    def write(self, image: MaskedImage) -> None:
        """Keeps the masks of one image.

        Raises:
            DatasetError: A class is not among the dataset's class names, or the key was written before.
            OSError: The file system refuses.
        """
        require_known_classes(image, self._class_names)
        kept = [(index, mask) for index, mask in enumerate(image.masks) if mask.proposal.mask.any()]
        self.count({EMPTY_MASK: len(image.masks) - len(kept)})
        results = [self._result(index, mask, image) for index, mask in kept]
        scores = [result["score"] for result in results]
        prediction = {
            "model_version": "boxmask",
            "score": round(sum(scores) / len(scores), 4) if scores else 0.0,
            "result": results,
        }
        task = {"data": {"image": _LOCAL + quote(image.file_name, errors="surrogatepass")}}
        size = {"width": image.width, "height": image.height}
        self._journal.add(image.key, {**task, "meta": size, "predictions": [prediction]})

    def close(self) -> None:
        """Assembles ``tasks.json`` and removes the part file."""
        with open_atomically(self._path) as file:
            file.write(b"[")
            for number, task in enumerate(self._journal.lines(), start=1):
                file.write(separator(number) + compact_json(task))
            file.write(b"]\n")
        self.discard()

    def discard(self) -> None:
        """Removes the part file."""
        self._journal.discard()

    def _result(self, index: int, mask: InstanceMask, image: MaskedImage) -> dict[str, Any]:
        pixels = full_mask(mask.proposal, image.width, image.height)
        kind = f"{self._shapes}labels"
        shape: dict[str, Any]
        if self._shapes == "brush":
            shape = {"format": "rle", "rle": encode_brush(pixels)}
        else:
            shape = {"imageDataURL": _PNG + base64.b64encode(_bitmask(pixels)).decode("ascii")}
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


def read_labelstudio_masks(path: Path) -> Iterator[MaskedImage]:
    """Yields what `LabelStudioMaskWriter` wrote, in the file's order.

    Args:
        path: ``tasks.json``, or the folder with it.

    Raises:
        DatasetError: The file breaks the format.
    """
    file = path / TASKS if path.is_dir() else path
    for number, task in enumerate(load_json(file)):
        try:
            query = urlsplit(task["data"]["image"]).query
            (name,) = parse_qs(query, errors="surrogatepass", strict_parsing=True)["d"]
            size = (int(task["meta"]["width"]), int(task["meta"]["height"]))
            masks = tuple(_read(result, size) for result in task["predictions"][0]["result"])
        except MASK_ERRORS as error:
            raise DatasetError(file, f"task {number} cannot be read as masks: {error!r}") from error
        yield MaskedImage(key_of(name, file), name, *size, masks)


def _bitmask(pixels: NDArray[np.bool_]) -> bytes:
    """Returns the PNG of a mask: black where it is, transparent elsewhere."""
    rgba = np.zeros((*pixels.shape, 4), dtype=np.uint8)
    rgba[pixels, 3] = 255
    out = io.BytesIO()
    Image.fromarray(rgba).save(out, format="PNG")
    return out.getvalue()


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
    else:
        pixels = _opaque(base64.b64decode(value["imageDataURL"].removeprefix(_PNG), validate=True), size)
    meta = result["meta"]
    flags = Flags(**{name: bool(meta[name]) for name in _FLAGS})
    return restored_mask(pixels, 0, 0, size, value[kind][0], flags, meta)
