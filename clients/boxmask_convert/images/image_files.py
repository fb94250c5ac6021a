"""Image files as bytes, and why one could not be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxmask_convert.failures import FailureKind

if TYPE_CHECKING:
    from pathlib import Path


class ImageFailedError(Exception):
    """Ends the preparation of one image.

    Args:
        kind: Why.
        message: In a sentence.
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def read_image(path: Path) -> bytes:
    """Returns the bytes of an image file.

    Raises:
        ImageFailedError: The file does not exist, or the system does not let it be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ImageFailedError(FailureKind.MISSING_IMAGE, f"{path} does not exist") from error
    except OSError as error:
        problem = f"{path} cannot be read: {error.strerror}"
        raise ImageFailedError(FailureKind.UNREADABLE_IMAGE, problem) from error
