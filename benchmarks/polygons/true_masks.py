"""True masks of the objects of a PASCAL VOC folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.object_truth import true_objects
from boxmask_core.boxes import Box
from boxmask_core.formats.voc import VocDataset
from boxmask_core.grabcut import Fallback, Proposal, filled_box
from boxmask_core.instances import ImageRecord, Instance, InstanceMask, MaskedImage
from boxmask_core.palette import VOID, decode_indexed_png

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

CLASSES: Final = "SegmentationClass"
OBJECTS: Final = "SegmentationObject"
STRAY: Final = 0.01


def true_masks(data: Path, split: str, limit: int | None = None) -> Iterator[MaskedImage]:
    """Yields images with the masks that annotators drew; an image without any is passed over.

    ``SegmentationObject``, where the folder has it, knows every object by itself. Else the objects are
    recovered from ``SegmentationClass`` and the boxes (`benchmarks.object_truth`); those that cannot be told
    apart are left out, and so is what fills less than a hundredth of its box, which is stray pixels.

    Args:
        data: A ``VOC2012`` folder.
        split: The list of images in ``ImageSets``.
        limit: How many images at most.
    """
    dataset = VocDataset(data, split=split)
    count = 0
    for record in dataset:
        if count == limit:
            return
        if not isinstance(record, ImageRecord):
            continue
        classes, objects = (_label_map(data / folder / f"{record.key}.png") for folder in (CLASSES, OBJECTS))
        if classes is None:
            continue
        if objects is not None:
            masks = drawn_objects(classes, objects, dataset.class_names)
        else:
            masks = recovered_objects(classes, record.instances, dataset.class_names)
        if masks:
            count += 1
            height, width = classes.shape
            yield MaskedImage(record.key, record.path.name, width, height, tuple(masks))


def drawn_objects(
    classes: NDArray[np.uint8], objects: NDArray[np.uint8], class_names: Sequence[str]
) -> list[InstanceMask]:
    """Returns the objects of an object map, each in the smallest box around it.

    Args:
        classes: uint8 class indices, ``(H, W)``; 0 is background, 255 void.
        objects: uint8, ``(H, W)``: numbers of objects, likewise.
        class_names: Names of the classes from 1.
    """
    masks = []
    for index in np.unique(objects[(objects != 0) & (objects != VOID)]):
        pixels = objects == index
        rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
        box = Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        name = class_names[int(np.bincount(classes[pixels]).argmax()) - 1]
        masks.append(_mask(Instance(box, name, id=str(index)), pixels[box.window().slices()], classes))
    return masks


def recovered_objects(
    classes: NDArray[np.uint8], instances: Sequence[Instance], class_names: Sequence[str]
) -> list[InstanceMask]:
    """Returns the objects that can be told apart in a class map.

    Args:
        classes: uint8 class indices, ``(H, W)``; 0 is background, 255 void.
        instances: The objects, with boxes and classes.
        class_names: Names of the classes from 1.
    """
    size = (classes.shape[1], classes.shape[0])
    masks = []
    for index, name in enumerate(class_names, start=1):
        alike = [instance for instance in instances if instance.class_name == name]
        windows = [filled_box(size, instance.box).window for instance in alike]
        for instance, found in zip(alike, true_objects(classes, index, windows), strict=True):
            if found is not None and found.mask.mean() >= STRAY:
                masks.append(_mask(instance, found.mask, classes))
    return masks


def _mask(instance: Instance, pixels: NDArray[np.bool_], classes: NDArray[np.uint8]) -> InstanceMask:
    window = filled_box((classes.shape[1], classes.shape[0]), instance.box).window
    return InstanceMask(instance, Proposal(window, pixels, Fallback.NONE), quality=1.0)


def _label_map(file: Path) -> NDArray[np.uint8] | None:
    return decode_indexed_png(file.read_bytes()) if file.is_file() else None
