"""Where boxes lie in the upright image, and what becomes of them where the dataset declares another size."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from boxmask_convert.failures import FailureKind
from boxmask_convert.images.image_files import ImageFailedError
from boxmask_convert.images.orientation import scaled_box, upright_box
from boxmask_core.errors import InvalidBoxError

if TYPE_CHECKING:
    from collections.abc import Callable

    from boxmask_convert.settings import SizeMismatch
    from boxmask_core.boxes import Box
    from boxmask_core.images import ImageHeader
    from boxmask_core.instances import ImageRecord, Instance

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Placed:
    """One record with its boxes in the upright image.

    Attributes:
        record: The record; it declares the size of the upright image where it declared one.
        mismatch: Whether the declared size was neither the upright image's nor that of its stored pixels.
        turned: Whether the boxes were drawn on the stored pixels and were turned upright.
        rescaled: Whether the boxes were drawn on an image of another size and were scaled.
    """

    record: ImageRecord
    mismatch: bool = False
    turned: bool = False
    rescaled: bool = False


def placed(record: ImageRecord, header: ImageHeader, size_mismatch: SizeMismatch) -> Placed:
    """Puts the boxes of a record where they lie in the upright image.

    A declared size equal to that of the stored pixels, where EXIF swaps their sides, says that the boxes were
    drawn on them: they are turned, whatever ``size_mismatch`` says.

    Args:
        record: As the dataset has it.
        header: Of the image.
        size_mismatch: See `boxmask_convert.settings.Settings`.

    Raises:
        ImageFailedError: The declared size is not the image's, and ``size_mismatch`` is "error".
    """
    declared, size = record.declared_size, (header.width, header.height)
    if declared is None or declared == size:
        return Placed(record)
    if header.transposed and declared == size[::-1]:
        return Placed(
            _moved(record, lambda box: upright_box(box, header.orientation, declared), size), turned=True
        )
    if size_mismatch == "image":
        return Placed(replace(record, declared_size=size), mismatch=True)
    if size_mismatch == "error":
        problem = (
            "the dataset declares {} x {} pixels, but {} has {} x {}; --size-mismatch scale scales them, "
            "--size-mismatch image takes them as they are"
        )
        message = problem.format(*declared, record.path, *size)
        raise ImageFailedError(FailureKind.SIZE_MISMATCH, message)
    if header.transposed and _is_rather(declared, size[::-1], than=size):
        stored = size[::-1]
        scaled = _moved(record, lambda box: scaled_box(box, declared, stored), stored)
        upright = _moved(scaled, lambda box: upright_box(box, header.orientation, stored), size)
        return Placed(upright, mismatch=True, turned=True, rescaled=True)
    return Placed(
        _moved(record, lambda box: scaled_box(box, declared, size), size), mismatch=True, rescaled=True
    )


def parts_inside(
    record: ImageRecord, header: ImageHeader
) -> tuple[tuple[Instance, ...], tuple[tuple[Instance, InvalidBoxError], ...]]:
    """Separates the instances that have a part inside the image from those that lie wholly outside.

    Args:
        record: With boxes in the upright image.
        header: Of the image.

    Returns:
        Those that do, as they are, and those that do not, each with what is wrong.
    """
    inside, outside = [], []
    for instance in record.instances:
        try:
            instance.box.clipped(header.width, header.height)
        except InvalidBoxError as error:
            outside.append((instance, error))
        else:
            inside.append(instance)
    return tuple(inside), tuple(outside)


def _moved(record: ImageRecord, move: Callable[[Box], Box], size: Size) -> ImageRecord:
    instances = tuple(replace(instance, box=move(instance.box)) for instance in record.instances)
    return replace(record, instances=instances, declared_size=size)


def _is_rather(declared: Size, first: Size, *, than: Size) -> bool:
    """Says whether a size has rather the proportions of the first than of the other."""

    def distance(size: Size) -> float:
        return abs(math.log(declared[0] * size[1] / (declared[1] * size[0])))

    return distance(first) < distance(than)
