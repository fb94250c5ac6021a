"""One record of a dataset looked at without a network: its image's header, its content, what is wrong."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from boxmask_convert.images.image_files import ImageFailedError, read_image
from boxmask_convert.images.placement import Placed, placed
from boxmask_core.boxes import NO_AREA, NOT_FINITE
from boxmask_core.checks import rules
from boxmask_core.errors import InvalidImageError
from boxmask_core.formats.interface import RecordError
from boxmask_core.images import IMAGE_SUFFIXES, read_header

if TYPE_CHECKING:
    from boxmask_convert.settings import SizeMismatch
    from boxmask_core.checks.findings import Rule
    from boxmask_core.images import ImageHeader
    from boxmask_core.instances import BoxIssue, ImageRecord

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_PIXELS: Final = 64_000_000
MAX_BOXES: Final = 1000
"""What an in-process run takes of one image, and a server that was not told otherwise."""

_BY_NAME: Final = {
    rule.name: rule
    for rule in (rules.MISSING_IMAGE, rules.UNREADABLE_IMAGE, rules.CORRUPT_IMAGE, rules.SIZE_MISMATCH)
}


@dataclass(frozen=True, slots=True)
class Look:
    """One record, looked at.

    Attributes:
        record: As the dataset has it.
        place: Its boxes in the upright image, or None where the image cannot be used.
        header: Of the image, or None where it could not be read.
        bytes: Of the image file.
        digest: Of its content; empty where it could not be read.
        problem: What is wrong with the image, and the rule that it breaks.
    """

    record: ImageRecord | RecordError
    place: Placed | None = None
    header: ImageHeader | None = None
    bytes: int = 0
    digest: str = ""
    problem: tuple[Rule, str] | None = None


def look_at(record: ImageRecord | RecordError, size_mismatch: SizeMismatch) -> Look:
    """Reads the image file of a record, and its header, and checks what can be checked by them.

    Args:
        record: As the dataset has it.
        size_mismatch: See `boxmask_convert.settings.Settings`.
    """
    if isinstance(record, RecordError):
        return Look(record)
    try:
        data = read_image(record.path)
    except ImageFailedError as error:
        return Look(record, problem=(_BY_NAME[error.kind], str(error)))
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    try:
        header = read_header(data, what=str(record.path))
    except InvalidImageError as error:
        return Look(record, None, None, len(data), digest, (rules.CORRUPT_IMAGE, str(error)))
    problem = _over_limits(record, header, len(data))
    if problem is not None:
        return Look(record, None, header, len(data), digest, problem)
    try:
        place = placed(record, header, size_mismatch)
    except ImageFailedError as error:
        return Look(record, None, header, len(data), digest, (_BY_NAME[error.kind], str(error)))
    return Look(record, place, header, len(data), digest)


def _over_limits(record: ImageRecord, header: ImageHeader, size: int) -> tuple[Rule, str] | None:
    pixels = header.width * header.height
    if size > MAX_BYTES:
        return rules.IMAGE_TOO_LARGE, f"{size} bytes, the limit is {MAX_BYTES}"
    if pixels > MAX_PIXELS:
        return rules.IMAGE_TOO_LARGE, f"{pixels} pixels, the limit is {MAX_PIXELS}"
    if len(record.instances) > MAX_BOXES:
        return rules.TOO_MANY_BOXES, f"{len(record.instances)}, the limit is {MAX_BOXES}"
    return None


def rule_of_record(record: RecordError) -> Rule:
    """Returns the rule that a record breaks whose annotation cannot be read.

    Where boxes are relative to the image, the file at fault may be the image.
    """
    if "share the key" in record.problem:
        return rules.KEY_COLLISION
    if record.path.suffix.lower() in IMAGE_SUFFIXES:
        return rules.CORRUPT_IMAGE if record.path.exists() else rules.MISSING_IMAGE
    return rules.BAD_ANNOTATION


def rule_of_issue(issue: BoxIssue) -> Rule:
    """Returns the rule that a box breaks which cannot become an instance."""
    if NOT_FINITE in issue.problem:
        return rules.NAN_BOX
    if NO_AREA in issue.problem:
        return rules.DEGENERATE_BOX
    if "is not among the" in issue.problem:
        return rules.UNLISTED_CLASS
    return rules.MALFORMED_BOX
