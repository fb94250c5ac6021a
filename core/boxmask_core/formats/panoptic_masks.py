"""COCO panoptic: ``panoptic.json`` and PNGs whose colours number the segments.

A pixel of segment ``id`` has the colour R + 256 G + 65536 B = id, and 0 where there is none; each pixel
belongs to one segment, smaller boxes on top. ``iscrowd`` is the source's.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from boxmask_core.atomic import open_atomically, write_bytes_atomically
from boxmask_core.compositing import compose
from boxmask_core.formats.class_names import require_known_classes
from boxmask_core.formats.closing import ClosingWriter
from boxmask_core.formats.flat_losses import flat_losses
from boxmask_core.formats.line_journal import LineJournal, compact_json, separator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

    from boxmask_core.instances import MaskedImage

PANOPTIC = "panoptic.json"
FOLDER = "panoptic"


class PanopticWriter(ClosingWriter):
    """Writes ``panoptic/KEY.png`` and, last, ``panoptic.json``, the same whatever the order of the images.

    A segment's id is the 1-based place of its instance in the image; what cannot be seen has no segment.

    Args:
        out: The folder to write to.
        class_names: Every class, all of them things; the first gets category id 1.

    Raises:
        OSError: The file system refuses.
    """

    def __init__(self, out: Path, class_names: Sequence[str]) -> None:
        super().__init__()
        self._out = out
        self._categories = {name: index for index, name in enumerate(class_names, start=1)}
        self._journal = LineJournal(out, PANOPTIC)

    def write(self, image: MaskedImage) -> None:
        """Writes the PNG of one image and keeps its segments.

        Raises:
            DatasetError: A class is not among the dataset's class names, or the key was written before.
            OSError: The file system refuses.
        """
        require_known_classes(image, self._categories)
        self._journal.require_new(image.key)
        segments = compose(image.width, image.height, image.masks, dict.fromkeys(self._categories, 1)).objects
        self.count(flat_losses(image, segments))
        write_bytes_atomically(self._out / FOLDER / f"{image.key}.png", _png(segments))
        fields = {"file_name": image.file_name, "width": image.width, "height": image.height}
        infos = [
            self._info(identity, image, segments) for identity in np.unique(segments).tolist() if identity
        ]
        self._journal.add(image.key, {"image": fields, "png": f"{image.key}.png", "segments": infos})

    def close(self) -> None:
        """Assembles ``panoptic.json`` and removes the part file."""
        with open_atomically(self._out / PANOPTIC) as file:
            self._assemble(file)
        self.discard()

    def discard(self) -> None:
        """Removes the part file."""
        self._journal.discard()

    def _info(
        self, identity: int, image: MaskedImage, segments: NDArray[np.uint8] | NDArray[np.uint16]
    ) -> dict[str, Any]:
        instance = image.masks[identity - 1].instance
        seen = segments == identity
        rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
        x, y = int(columns[0]), int(rows[0])
        return {
            "id": identity,
            "category_id": self._categories[instance.class_name],
            "area": int(np.count_nonzero(seen)),
            "bbox": [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1],
            "iscrowd": int(instance.flags.crowd),
        }

    def _assemble(self, file: BinaryIO) -> None:
        categories = [
            {"id": index, "name": name, "supercategory": name, "isthing": 1}
            for name, index in self._categories.items()
        ]
        file.write(b'{"info":{"description":"masks made from boxes by boxmask"},"licenses":[],')
        file.write(b'"categories":' + compact_json(categories) + b',"images":[')
        for image_id, line in enumerate(self._journal.lines(), start=1):
            file.write(separator(image_id) + compact_json({"id": image_id, **line["image"]}))
        file.write(b'],"annotations":[')
        for image_id, line in enumerate(self._journal.lines(), start=1):
            fields = {"image_id": image_id, "file_name": line["png"], "segments_info": line["segments"]}
            file.write(separator(image_id) + compact_json(fields))
        file.write(b"]}\n")


def _png(segments: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    wide = segments.astype(np.uint32)
    colours = np.stack([(wide >> shift) & 255 for shift in (0, 8, 16)], axis=-1).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(colours).save(out, format="PNG")
    return out.getvalue()
