"""Keys of images: paths that outputs are named after, so they must not lead out of the output folder."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from boxmask_core.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path


def checked_key(key: str, where: object) -> str:
    """Returns the key if outputs can safely be named after it.

    Args:
        key: Path relative to the image folder, with ``/`` between folders.
        where: The file that names it, for the message.

    Raises:
        DatasetError: The key is empty, absolute or leads out of its folder, or no file can have its name.
    """
    try:
        os.fsencode(key)
    except UnicodeEncodeError as error:  # JSON can hold half of a pair of surrogates
        raise DatasetError(
            where, f"an image must have a name that a file can have, but got {key!r}"
        ) from error
    parts = PurePosixPath(key).parts
    if not parts or parts[0] == "/" or ".." in parts or "\0" in key:
        raise DatasetError(where, f"an image must lie inside the image folder, but got {key!r}")
    return key


def key_of(file_name: str, where: object) -> str:
    """Returns the key of an image's file name: the same path without its suffix.

    Args:
        file_name: Path relative to the image folder, with ``/`` between folders.
        where: The file that names it, for the message.

    Raises:
        DatasetError: As of `checked_key`.
    """
    return PurePosixPath(checked_key(file_name, where)).with_suffix("").as_posix()


def listed_keys(file: Path) -> tuple[str, ...]:
    """Returns the keys that a text file lists, one a line, each once.

    Raises:
        DatasetError: It cannot be read, lists none, or one that leads out of the image folder.
    """
    found = tuple(checked_key(line, file) for line in dict.fromkeys(listed_lines(file)))
    if not found:
        raise DatasetError(file, "lists no key; expected one a line")
    return found


def listed_lines(file: Path) -> tuple[str, ...]:
    """Returns the lines of a text file that are not blank, without the white space around them.

    Raises:
        DatasetError: It cannot be read.
    """
    return tuple(line.strip() for line in text_lines(file) if line.strip())


def text_lines(file: Path) -> tuple[str, ...]:
    """Returns all lines of a text file in UTF-8, without their ends.

    Raises:
        DatasetError: It cannot be read.
    """
    try:
        return tuple(file.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(file, f"cannot be read: {error}") from error
