"""COCO: masks as compressed RLE or polygons, written and read back.

Beside COCO's own fields an annotation carries ``box`` (the source box, ``[x, y, width, height]``),
``source_id``, ``quality``, ``fallback`` and, under ``attributes``, VOC's flags. ``iscrowd`` is the source's,
never a consequence of the encoding: evaluation and many trainers leave out whatever has it set.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

from boxmask_core.errors import DatasetError
from boxmask_core.formats.closing import BRIDGED_HOLES
from boxmask_core.formats.cvat_rle import pixels_of_runs
from boxmask_core.formats.edge_rings import edge_polygons, filled_rings
from boxmask_core.formats.interface import PLAIN
from boxmask_core.formats.kept_masks import MASK_ERRORS, checked_size, mask_bounds, read_flags, restored_mask
from boxmask_core.formats.line_journal import compact_json, separator, with_ids
from boxmask_core.formats.one_file import OneFileWriter
from boxmask_core.rle import decode_rle, encode_rle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_core.boxes import Window
    from boxmask_core.formats.interface import WriterOptions
    from boxmask_core.grabcut import Proposal
    from boxmask_core.instances import InstanceMask, MaskedImage

INSTANCES = "instances.json"
_KEPT = ("source_id", "quality", "fallback")


class CocoMaskWriter(OneFileWriter):
    """Writes ``instances.json``: one file, complete or absent, the same whatever the order of the images.

    Images and annotations are numbered from 1, by key.

    Args:
        out: The folder to write to.
        class_names: Every class; the first gets category id 1.
        options: What the user decided; overlaps are kept, and ``void_below`` is refused.
        shapes: "rle" holds every mask; "polygons" is one ring per part along the edges of pixels, a hole
            joined to its ring by a bridge of zero width, for COCO's format knows none: COCO's own rasteriser
            fills it to exactly the mask.

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
        shapes: Literal["rle", "polygons"] = "rle",
    ) -> None:
        super().__init__(out, class_names, options, INSTANCES)
        self._shapes = shapes
        self._categories = {name: index for index, name in enumerate(class_names, start=1)}

    def write(self, image: MaskedImage) -> tuple[()]:
        """Keeps the masks of one image.

        Raises:
            DatasetError: A class is not among the dataset's class names, or the key was written before.
            OSError: The file system refuses.
        """
        annotations = [self._annotation(mask, image) for _, mask in self.filled(image)]
        fields = {"file_name": image.file_name, "width": image.width, "height": image.height}
        self._journal.add_objects(image.key, [fields, *annotations])
        return ()

    def _annotation(self, mask: InstanceMask, image: MaskedImage) -> dict[str, Any]:
        instance, proposal = mask.instance, mask.proposal
        return {
            "category_id": self._categories[instance.class_name],
            "bbox": _xywh(mask_bounds(proposal)),
            "area": int(proposal.mask.sum()),
            "iscrowd": int(instance.flags.crowd),
            "segmentation": self._segmentation(proposal, image),
            "box": [instance.box.x0, instance.box.y0, instance.box.width, instance.box.height],
            "source_id": instance.id,
            "quality": round(mask.quality, 4),
            "fallback": str(proposal.fallback),
            "attributes": {
                "difficult": instance.flags.difficult,
                "truncated": instance.flags.truncated,
                "occluded": instance.flags.occluded,
            },
        }

    def _segmentation(self, proposal: Proposal, image: MaskedImage) -> object:
        if self._shapes == "rle":
            full = np.zeros((image.height, image.width), dtype=np.uint8, order="F")
            full[proposal.window.slices()] = proposal.mask
            counts = encode_rle(full.view(np.bool_)).decode("ascii")
            return {"size": [image.height, image.width], "counts": counts}
        rings, holes = edge_polygons(proposal.mask)
        self.count({BRIDGED_HOLES: holes})
        corner = np.array([proposal.window.x0, proposal.window.y0])
        return [(ring + corner).ravel().tolist() for ring in rings]

    def _assemble(self, file: BinaryIO) -> None:
        categories = [{"id": index, "name": name} for name, index in self._categories.items()]
        file.write(b'{"info":{"description":"masks made from boxes by boxmask"},"licenses":[],')
        file.write(b'"categories":' + compact_json(categories) + b',"images":[')
        for image_id, (image, *_) in enumerate(self._journal.objects(), start=1):
            file.write(separator(image_id) + with_ids(image, id=image_id))
        file.write(b'],"annotations":[')
        annotation_id = 0
        for image_id, (_, *of_image) in enumerate(self._journal.objects(), start=1):
            for annotation in of_image:
                annotation_id += 1
                fields = with_ids(annotation, id=annotation_id, image_id=image_id)
                file.write(separator(annotation_id) + fields)
        file.write(b"]}\n")


@dataclass(frozen=True, slots=True)
class CocoImage:
    """One image of a COCO file.

    Attributes:
        id: Its id in the file.
        file_name: Path relative to the image folder.
        width: Pixels.
        height: Pixels.
    """

    id: int
    file_name: str
    width: int
    height: int


class CocoMasks:
    """The masks of a file that `CocoMaskWriter` or another wrote; they are decoded when asked for.

    Args:
        path: ``instances.json``, or the folder with it.

    Raises:
        DatasetError: The file is missing or breaks the format.
    """

    def __init__(self, path: Path) -> None:
        self._file = path / INSTANCES if path.is_dir() else path
        try:
            content = json.loads(self._file.read_bytes())
            self.class_names = tuple(_text(entry["name"]) for entry in content["categories"])
            self._categories = {entry["id"]: entry["name"] for entry in content["categories"]}
            self.images = tuple(
                CocoImage(entry["id"], _text(entry["file_name"]), entry["width"], entry["height"])
                for entry in content["images"]
            )
            self._annotations: dict[int, list[Mapping[str, Any]]] = {image.id: [] for image in self.images}
            for annotation in content["annotations"]:
                self._annotations[annotation["image_id"]].append(annotation)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DatasetError(self._file, f"cannot be read as COCO masks: {error!r}") from error

    def masks(self, image: CocoImage) -> list[InstanceMask]:
        """Decodes the masks of one image, in the file's order.

        Args:
            image: One of `images`.

        Returns:
            Each instance with its source box, its mask cropped to that box, and its quality; see
            `boxmask_core.formats.kept_masks` for files that do not hold these.

        Raises:
            DatasetError: An annotation breaks the format.
        """
        return [self._decoded(annotation, image) for annotation in self._annotations[image.id]]

    def _decoded(self, annotation: Mapping[str, Any], image: CocoImage) -> InstanceMask:
        try:
            size = checked_size(image.width, image.height)
            fields = {name: annotation[name] for name in _KEPT if name in annotation}
            fields.setdefault("source_id", annotation.get("id", ""))
            if "box" in annotation:
                x, y, width, height = annotation["box"]
                fields["source_box"] = x, y, x + width, y + height
            flags = read_flags({**annotation.get("attributes", {}), "crowd": annotation.get("iscrowd", 0)})
            class_name = self._categories[annotation["category_id"]]
            pixels = _pixels(annotation["segmentation"], size)
            return restored_mask(pixels, 0, 0, size, class_name, flags, fields)
        except MASK_ERRORS as error:
            problem = f"annotation {annotation.get('id')} cannot be read as a mask: {error!r}"
            raise DatasetError(self._file, problem) from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a name must be a text, but got {value!r}")
    return value


def _pixels(segmentation: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Decodes polygons, compressed RLE, or RLE as a list of runs, bool ``(height, width)``."""
    width, height = size
    if isinstance(segmentation, list):
        return filled_rings(segmentation, width, height)
    counts = segmentation["counts"]
    if isinstance(counts, list):
        return pixels_of_runs(counts, height, width).T  # COCO's runs go down the columns
    return decode_rle(counts.encode(), height, width)


def _xywh(bounds: Window) -> list[int]:
    return [bounds.x0, bounds.y0, bounds.width, bounds.height]
