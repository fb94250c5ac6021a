"""COCO panoptic: ``panoptic.json`` and PNGs whose colours number the segments.

A pixel of segment ``id`` has the colour R + 256 G + 65536 B = id, and 0 where there is none; each pixel
belongs to one segment at most. What other label maps call void has no segment either: the reference
evaluation takes 0 for just that, pixels that nothing is known of. ``iscrowd`` is the source's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from boxmask_core.atomic import open_atomically, write_bytes_atomically
from boxmask_core.formats.interface import PLAIN
from boxmask_core.formats.label_maps import LabelMapWriter
from boxmask_core.formats.line_journal import LineJournal, compact_json, separator
from boxmask_core.palette import MAX_16_BIT, png_bytes, void_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

    from boxmask_core.formats.interface import WriterOptions
    from boxmask_core.instances import LabelMaps, MaskedImage
    from boxmask_core.palette import LabelArray

PANOPTIC = "panoptic.json"
FOLDER = "panoptic"


class PanopticWriter(LabelMapWriter):
    """Writes ``panoptic/KEY.png`` and, last, ``panoptic.json``, the same whatever the order of the images.

    A segment's id is the 1-based place of its instance in the image; what cannot be seen has no segment.

    Args:
        out: The folder to write to.
        class_names: Every class, all of them things, at most 65534; the first gets category id 1.
        options: Who owns a pixel that several masks claim, and which masks are trusted.

    Raises:
        DatasetError: More than 65534 classes.
        InvalidRequestError: The priority names a class that there is not.
        OSError: The file system refuses.
    """

    def __init__(self, out: Path, class_names: Sequence[str], options: WriterOptions = PLAIN) -> None:
        super().__init__(out, class_names, options, most=MAX_16_BIT, holder="panoptic maps")
        self._journal = LineJournal(out, PANOPTIC)

    def _save(self, image: MaskedImage, maps: LabelMaps) -> None:
        self._journal.require_new(image.key)
        segments = maps.objects
        segments[segments == void_of(segments)] = 0
        write_bytes_atomically(self._out / FOLDER / f"{image.key}.png", _png(segments), sync=False)
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

    def _info(self, identity: int, image: MaskedImage, segments: LabelArray) -> dict[str, Any]:
        instance = image.masks[identity - 1].instance
        seen = segments == identity
        rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
        x, y = int(columns[0]), int(rows[0])
        return {
            "id": identity,
            "category_id": self._indices[instance.class_name],
            "area": int(np.count_nonzero(seen)),
            "bbox": [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1],
            "iscrowd": int(instance.flags.crowd),
        }

    def _assemble(self, file: BinaryIO) -> None:
        categories = [
            {"id": index, "name": name, "supercategory": name, "isthing": 1}
            for name, index in self._indices.items()
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


def _png(segments: LabelArray) -> bytes:
    colours: NDArray[np.uint8] = np.zeros((*segments.shape, 3), dtype=np.uint8)
    colours[:, :, 0] = segments & 255
    colours[:, :, 1] = (
        segments.astype(np.uint16) >> 8
    )  # 16 bits hold the places of all instances: the third channel stays 0
    return png_bytes(Image.fromarray(colours))
