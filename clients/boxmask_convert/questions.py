"""From a record of the dataset to a question, and to the failures that need no answer to be known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from boxmask_client import Question
from boxmask_convert.failures import Failure, FailureKind
from boxmask_convert.image_files import ImageFailedError, read_image
from boxmask_convert.orientation import upright_box
from boxmask_core.errors import InvalidBoxError, InvalidImageError
from boxmask_core.formats.interface import RecordError
from boxmask_core.images import read_header

if TYPE_CHECKING:
    from boxmask_convert.settings import Settings
    from boxmask_core.images import ImageHeader
    from boxmask_core.instances import ImageRecord, Instance


@dataclass(frozen=True, slots=True)
class Prepared:
    """One record, ready to be asked about.

    Attributes:
        record: The record, with those instances that can be asked about, in the upright image.
        question: What to ask, or None where nothing can be asked.
        failures: What is known to fail already.
        turned: Whether the boxes were drawn on the stored pixels and were turned upright.
    """

    record: ImageRecord | RecordError
    question: Question | None
    failures: tuple[Failure, ...]
    turned: bool = False


def prepare(record: ImageRecord | RecordError, settings: Settings) -> Prepared:
    """Reads the image file and checks what can be checked without its pixels."""
    if isinstance(record, RecordError):
        failure = Failure(record.key, str(record.path), None, FailureKind.BAD_ANNOTATION, record.problem)
        return Prepared(record, None, (failure,))
    failures = [_failure(record, issue.id, FailureKind.INVALID_BOX, issue.problem) for issue in record.issues]
    try:
        data = read_image(record.path)
        header = read_header(data, what=str(record.path))
        upright = _upright(record, header)
        usable, outside = _split(upright, header)
        failures += outside
        if failures and not usable:
            raise ImageFailedError(
                FailureKind.NO_USABLE_BOX, "none of its boxes can be masked; it is left out"
            )
    except InvalidImageError as error:
        failures.append(_failure(record, None, FailureKind.CORRUPT_IMAGE, str(error)))
    except ImageFailedError as error:
        failures.append(_failure(record, None, error.kind, str(error)))
    else:
        question = Question(data, usable, settings.method, settings.refine, label_map=False)
        prepared = replace(upright, instances=usable)
        return Prepared(prepared, question, tuple(failures), turned=upright is not record)
    return Prepared(record, None, tuple(failures))


def _upright(record: ImageRecord, header: ImageHeader) -> ImageRecord:
    """Returns the record with its boxes in the upright image, the record itself where they are already."""
    size = header.width, header.height
    if record.declared_size is None or record.declared_size == size:
        return record
    if record.declared_size != size[::-1] or not header.transposed:
        declared = "{} x {}".format(*record.declared_size)
        problem = f"the dataset declares {declared} pixels, but {record.path} has {size[0]} x {size[1]}"
        raise ImageFailedError(FailureKind.SIZE_MISMATCH, problem)
    stored = record.declared_size
    turned = (
        replace(instance, box=upright_box(instance.box, header.orientation, stored))
        for instance in record.instances
    )
    return replace(record, instances=tuple(turned), declared_size=size)


def _split(record: ImageRecord, header: ImageHeader) -> tuple[tuple[Instance, ...], list[Failure]]:
    usable, failures = [], []
    for instance in record.instances:
        try:
            instance.box.clipped(header.width, header.height)
        except InvalidBoxError as error:
            failures.append(_failure(record, instance.id, FailureKind.BOX_OUTSIDE_IMAGE, str(error)))
        else:
            usable.append(instance)
    return tuple(usable), failures


def _failure(record: ImageRecord, box: str | None, kind: FailureKind, message: str) -> Failure:
    return Failure(record.key, str(record.path), box, kind, message)
