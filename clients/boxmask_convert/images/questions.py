"""From a record of the dataset to a question, and to the failures that need no answer to be known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from boxmask_client import Question
from boxmask_convert.failures import Failure, FailureKind
from boxmask_convert.images.image_files import ImageFailedError, read_image
from boxmask_convert.images.look import rule_of_issue, rule_of_record
from boxmask_convert.images.placement import parts_inside, placed
from boxmask_core.errors import InvalidImageError
from boxmask_core.formats.interface import RecordError
from boxmask_core.images import read_header

if TYPE_CHECKING:
    from boxmask_convert.settings import Settings
    from boxmask_core.instances import ImageRecord


@dataclass(frozen=True, slots=True)
class Prepared:
    """One record, ready to be asked about.

    Attributes:
        record: The record, with those instances that can be asked about, in the upright image.
        question: What to ask, or None where nothing can be asked.
        failures: What is known to fail already.
        turned: Whether the boxes were drawn on the stored pixels and were turned upright.
        rescaled: Whether the boxes were drawn on an image of another size and were scaled.
        mode: Pillow's name of the image's pixel layout, for example "RGB", "CMYK", "I;16"; empty where the
            image cannot be read.
        several_frames: Whether the file holds an animation or several pages; the first is masked.
    """

    record: ImageRecord | RecordError
    question: Question | None
    failures: tuple[Failure, ...]
    turned: bool = False
    rescaled: bool = False
    mode: str = ""
    several_frames: bool = False


def prepare(record: ImageRecord | RecordError, settings: Settings) -> Prepared:
    """Reads the image file and checks what can be checked without its pixels."""
    if isinstance(record, RecordError):
        kind = FailureKind(rule_of_record(record).name)
        failure = Failure(record.key, str(record.path), None, kind, record.problem)
        return Prepared(record, None, (failure,))
    failures = [
        _failure(record, issue.id, FailureKind(rule_of_issue(issue).name), issue.problem)
        for issue in record.issues
    ]
    try:
        data = read_image(record.path)
        header = read_header(data, what=str(record.path))
        place = placed(record, header, settings.size_mismatch)
        usable, outside = parts_inside(place.record, header)
        failures += [
            _failure(record, instance.id, FailureKind.BOX_OUTSIDE_IMAGE, str(error))
            for instance, error in outside
        ]
        if failures and not usable:
            raise ImageFailedError(
                FailureKind.NO_USABLE_BOX, "none of its boxes can be masked; it is left out"
            )
    except InvalidImageError as error:
        failures.append(_failure(record, None, FailureKind.CORRUPT_IMAGE, str(error)))
    except ImageFailedError as error:
        failures.append(_failure(record, None, error.kind, str(error)))
    else:
        return Prepared(
            record=replace(place.record, instances=usable),
            question=Question(data, usable, settings.method, settings.refine, label_map=False),
            failures=tuple(failures),
            turned=place.turned,
            rescaled=place.rescaled,
            mode=header.mode,
            several_frames=header.several_frames,
        )
    return Prepared(record, None, tuple(failures))


def _failure(record: ImageRecord, box: str | None, kind: FailureKind, message: str) -> Failure:
    return Failure(record.key, str(record.path), box, kind, message)
