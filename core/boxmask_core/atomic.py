"""Files that are either whole or absent, whenever the process dies."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def open_atomically(path: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """Opens a hidden part file beside ``path``; it takes the name when the block ends without an error.

    Args:
        path: The file to write or replace. Its folder is made if it is missing.
        sync: Whether the file is whole or absent even after the power fails. Without, whoever writes many
            files syncs them together in the end: each costs some milliseconds.

    Raises:
        OSError: The file system refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.parent / f".{uuid.uuid4().hex}.part"
    try:
        with part.open("xb") as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_bytes_atomically(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Writes or replaces ``path`` as a whole.

    Args:
        path: The file. Its folder is made if it is missing.
        data: Its content.
        sync: As for `open_atomically`.

    Raises:
        OSError: The file system refuses.
    """
    with open_atomically(path, sync=sync) as file:
        file.write(data)
