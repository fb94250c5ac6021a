"""What could not be converted, one JSON object a line."""

from __future__ import annotations

import enum
import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self

from boxmask_client import RejectedError, ServerError
from boxmask_core.errors import (
    BoxmaskError,
    ImageTooLargeError,
    InvalidBoxError,
    InvalidImageError,
    TooManyBoxesError,
)

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


ERRORS = "errors.jsonl"
"""Name of the file that lists them."""
SOME_FAILED = 1
"""Exit status of a command that did its work but for some images or boxes."""
KEPT = 50
"""Failures kept in memory, for the report."""


class FailureKind(enum.StrEnum):
    """Why an image or a box was not converted; `boxmask_core.checks.rules` has the same words."""

    BAD_ANNOTATION = "bad_annotation"
    """The image's annotation cannot be read."""
    KEY_COLLISION = "key_collision"
    """The image has the path of another but for its suffix, and outputs are named after paths without it."""
    MISSING_IMAGE = "missing_image"
    """The image file does not exist."""
    UNREADABLE_IMAGE = "unreadable_image"
    """The image file exists and the system does not let it be read."""
    CORRUPT_IMAGE = "corrupt_image"
    """The image file is no image, or a broken one."""
    SIZE_MISMATCH = "size_mismatch"
    """The dataset declares a size that is not the image's, so its boxes cannot be trusted."""
    IMAGE_TOO_LARGE = "image_too_large"
    """The image has more bytes or pixels than the limit."""
    TOO_MANY_BOXES = "too_many_boxes"
    """The image has more boxes than the limit."""
    NAN_BOX = "nan_box"
    """A coordinate of one box is not a finite number."""
    DEGENERATE_BOX = "degenerate_box"
    """One box has no area."""
    MALFORMED_BOX = "malformed_box"
    """One box lacks a coordinate or its class, or is rotated."""
    UNLISTED_CLASS = "unlisted_class"
    """The class of one box is not among the dataset's classes."""
    INVALID_BOX = "invalid_box"
    """Whoever was asked refused one box."""
    BOX_OUTSIDE_IMAGE = "box_outside_image"
    """One box lies wholly outside its image."""
    NO_USABLE_BOX = "no_usable_box"
    """All boxes of the image failed, so no mask was written: an empty one would say that nothing is there."""
    REJECTED = "rejected"
    """The server refused the question for another reason."""
    SERVER_ERROR = "server_error"
    """The server failed at this question."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One image or one box that was not converted.

    Attributes:
        key: The image's key in the dataset.
        path: The file at fault.
        box: Id of the box, or None where the whole image failed.
        kind: Why.
        message: What is wrong, in a sentence.
    """

    key: str
    path: str
    box: str | None
    kind: FailureKind
    message: str


_KINDS: dict[type[BoxmaskError], FailureKind] = {
    InvalidBoxError: FailureKind.INVALID_BOX,
    InvalidImageError: FailureKind.CORRUPT_IMAGE,
    ImageTooLargeError: FailureKind.IMAGE_TOO_LARGE,
    TooManyBoxesError: FailureKind.TOO_MANY_BOXES,
    ServerError: FailureKind.SERVER_ERROR,
}
_REASONS: dict[str, FailureKind] = {
    "INVALID_BOX": FailureKind.INVALID_BOX,
    "INVALID_IMAGE": FailureKind.CORRUPT_IMAGE,
    "IMAGE_TOO_LARGE": FailureKind.IMAGE_TOO_LARGE,
    "TOO_MANY_BOXES": FailureKind.TOO_MANY_BOXES,
}


def kind_of(error: BoxmaskError) -> FailureKind:
    """Returns why an image failed, alike for an answer of this process and of a server."""
    if isinstance(error, RejectedError):
        return _REASONS.get(error.reason, FailureKind.REJECTED)
    return next((kind for family, kind in _KINDS.items() if isinstance(error, family)), FailureKind.REJECTED)


class FailureLog:
    """Writes failures as they come; a context manager.

    Args:
        path: The file; it is written also when nothing fails, so that it says so. None counts only.
    """

    def __init__(self, path: Path | None) -> None:
        self._stream = None if path is None else path.open("x", encoding="utf-8")
        self.images = 0
        self.boxes = 0
        self.kinds: Counter[FailureKind] = Counter()
        self.first: list[Failure] = []

    def add(self, failure: Failure) -> None:
        """Writes one failure and counts it."""
        if self._stream is not None:
            self._stream.write(json.dumps(asdict(failure), ensure_ascii=False) + "\n")
        self.kinds[failure.kind] += 1
        if failure.box is None:
            self.images += 1
        else:
            self.boxes += 1
        if len(self.first) < KEPT:
            self.first.append(failure)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()
