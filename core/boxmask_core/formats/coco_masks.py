"""COCO: masks as compressed RLE, written and read back.

Beside COCO's own fields an annotation carries ``box`` (the source box, ``[x, y, width, height]``),
``source_id``, ``quality``, ``fallback`` and, under ``attributes``, VOC's flags. ``iscrowd`` is the source's,
never a consequence of the encoding: evaluation and many trainers leave out whatever has it set.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np

from boxmask_core.atomic import open_atomically
from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError, InvalidInputError
from boxmask_core.formats.class_names import require_known_classes
from boxmask_core.grabcut import Fallback, Proposal, filled_box
from boxmask_core.instances import Flags, Instance, InstanceMask
from boxmask_core.rle import decode_rle, encode_rle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from boxmask_core.instances import MaskedImage

INSTANCES = "instances.json"


class CocoMaskWriter:
    """Writes ``instances.json``: one file, complete or absent, the same whatever the order of the images.

    While it runs, one line per image goes to a hidden part file, so memory does not grow with the masks;
    `close` sorts them by key and numbers images and annotations from 1.

    Args:
        out: The folder to write to.
        class_names: Every class; the first gets category id 1.

    Raises:
        OSError: The file system refuses.
    """

    def __init__(self, out: Path, class_names: Sequence[str]) -> None:
        self._path = out / INSTANCES
        self._class_names = tuple(class_names)
        self._categories = {name: index for index, name in enumerate(class_names, start=1)}
        self._offsets: dict[str, int] = {}
        self.losses: Counter[str] = Counter()
        out.mkdir(parents=True, exist_ok=True)
        self._part_path = out / f".{INSTANCES}.part"
        self._part = self._part_path.open("w+b")

    def write(self, image: MaskedImage) -> None:
        """Keeps the masks of one image.

        Raises:
            DatasetError: A class is not among the dataset's class names, or the key was written before.
            OSError: The file system refuses.
        """
        if image.key in self._offsets:
            raise DatasetError(image.key, "was written twice; keys must be unique")
        require_known_classes(image, self._categories)
        annotations = [self._annotation(mask, image) for mask in image.masks if mask.proposal.mask.any()]
        if empty := len(image.masks) - len(annotations):
            self.losses["instances with an empty mask"] += empty
        fields = {"file_name": image.file_name, "width": image.width, "height": image.height}
        self._offsets[image.key] = self._part.seek(0, 2)
        self._part.write(_json({"image": fields, "annotations": annotations}) + b"\n")

    def close(self) -> None:
        """Assembles ``instances.json`` and removes the part file."""
        with open_atomically(self._path) as file:
            self._assemble(file)
        self._discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._discard()

    def _annotation(self, mask: InstanceMask, image: MaskedImage) -> dict[str, Any]:
        instance, proposal = mask.instance, mask.proposal
        full = np.zeros((image.height, image.width), dtype=np.uint8, order="F")
        full[proposal.window.slices()] = proposal.mask
        return {
            "category_id": self._categories[instance.class_name],
            "bbox": _mask_bounds(proposal),
            "area": int(proposal.mask.sum()),
            "iscrowd": int(instance.flags.crowd),
            "segmentation": {
                "size": [image.height, image.width],
                "counts": encode_rle(full.view(np.bool_)).decode("ascii"),
            },
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

    def _assemble(self, file: BinaryIO) -> None:
        categories = [{"id": index, "name": name} for name, index in self._categories.items()]
        file.write(b'{"info":{"description":"masks made from boxes by boxmask"},"licenses":[],')
        file.write(b'"categories":' + _json(categories) + b',"images":[')
        for image_id, line in enumerate(self._lines(), start=1):
            file.write(_separator(image_id) + _json({"id": image_id, **line["image"]}))
        file.write(b'],"annotations":[')
        annotation_id = 0
        for image_id, line in enumerate(self._lines(), start=1):
            for annotation in line["annotations"]:
                annotation_id += 1
                fields = {"id": annotation_id, "image_id": image_id, **annotation}
                file.write(_separator(annotation_id) + _json(fields))
        file.write(b"]}\n")

    def _lines(self) -> Iterator[dict[str, Any]]:
        for _, offset in sorted(self._offsets.items()):
            self._part.seek(offset)
            yield json.loads(self._part.readline())

    def _discard(self) -> None:
        self._part.close()
        self._part_path.unlink(missing_ok=True)


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
    """The masks of a file that `CocoMaskWriter` wrote; they are decoded when asked for.

    Args:
        path: ``instances.json``, or the folder with it.

    Raises:
        DatasetError: The file is missing or breaks the format.
    """

    def __init__(self, path: Path) -> None:
        self._file = path / INSTANCES if path.is_dir() else path
        try:
            content = json.loads(self._file.read_bytes())
            self.class_names = tuple(entry["name"] for entry in content["categories"])
            self._categories = {entry["id"]: entry["name"] for entry in content["categories"]}
            self.images = tuple(
                CocoImage(entry["id"], entry["file_name"], entry["width"], entry["height"])
                for entry in content["images"]
            )
            self._annotations: dict[int, list[Mapping[str, Any]]] = {image.id: [] for image in self.images}
            for annotation in content["annotations"]:
                self._annotations[annotation["image_id"]].append(annotation)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(self._file, f"cannot be read as COCO masks: {error!r}") from error

    def masks(self, image: CocoImage) -> list[InstanceMask]:
        """Decodes the masks of one image, in the file's order.

        Args:
            image: One of `images`.

        Returns:
            Each instance with its source box, its mask cropped to that box, and its quality.

        Raises:
            DatasetError: An annotation breaks the format.
        """
        return [self._decoded(annotation, image) for annotation in self._annotations[image.id]]

    def _decoded(self, annotation: Mapping[str, Any], image: CocoImage) -> InstanceMask:
        try:
            x, y, width, height = annotation["box"]
            instance = Instance(
                Box(x, y, x + width, y + height),
                self._categories[annotation["category_id"]],
                Flags(**annotation["attributes"], crowd=bool(annotation["iscrowd"])),
                annotation["source_id"],
            )
            mask = decode_rle(annotation["segmentation"]["counts"].encode(), image.height, image.width)
            fallback, quality = Fallback(annotation["fallback"]), float(annotation["quality"])
            window = filled_box((image.width, image.height), instance.box).window
        except (KeyError, TypeError, ValueError, AttributeError, InvalidInputError) as error:
            problem = f"annotation {annotation.get('id')} cannot be read as a mask: {error!r}"
            raise DatasetError(self._file, problem) from error
        return InstanceMask(instance, Proposal(window, mask[window.slices()], fallback), quality)


def _mask_bounds(proposal: Proposal) -> list[int]:
    """Returns ``[x, y, width, height]`` of a mask that is not empty."""
    rows, columns = (np.flatnonzero(proposal.mask.any(axis=axis)) for axis in (1, 0))
    x, y = proposal.window.x0 + int(columns[0]), proposal.window.y0 + int(rows[0])
    return [x, y, int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1]


def _json(fields: object) -> bytes:
    return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()


def _separator(number: int) -> bytes:
    return b"\n" if number == 1 else b",\n"
