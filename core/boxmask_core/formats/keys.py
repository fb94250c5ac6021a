"""Keys of images: paths that outputs are named after, so they must not lead out of the output folder."""

from __future__ import annotations

from pathlib import PurePosixPath

from boxmask_core.errors import DatasetError


def checked_key(key: str, where: object) -> str:
    """Returns the key if outputs can safely be named after it.

    Args:
        key: Path relative to the image folder, with ``/`` between folders.
        where: The file that names it, for the message.

    Raises:
        DatasetError: The key is empty, absolute or leads out of its folder.
    """
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
        DatasetError: The name is empty, absolute or leads out of its folder.
    """
    return PurePosixPath(checked_key(file_name, where)).with_suffix("").as_posix()
