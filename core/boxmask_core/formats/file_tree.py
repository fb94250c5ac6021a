"""The files of a folder and its sub-folders, as a stream of names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from boxmask_core.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path


def files_below(folder: Path, suffixes: Collection[str]) -> Iterator[str]:
    """Yields the files that end with one of the suffixes, sorted folder by folder.

    Links to files are files; links to folders are not followed, for they may lead in a circle.

    Args:
        folder: The folder; where there is none, there are no files.
        suffixes: In lower case, with the dot; files are found however their own is written.

    Yields:
        Path relative to ``folder``, with ``/`` between folders.

    Raises:
        DatasetError: A folder cannot be listed.
    """
    return _files_below(str(folder), "", tuple(suffixes)) if folder.is_dir() else iter(())


def _files_below(folder: str, prefix: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    names: list[str] = []
    folders: set[str] = set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.add(entry.name)
                elif not entry.name.lower().endswith(suffixes):
                    continue
                names.append(entry.name)
    except OSError as error:
        raise DatasetError(folder, f"cannot be listed: {error.strerror}") from error
    names.sort()
    for name in names:
        if name in folders:
            yield from _files_below(f"{folder}/{name}", f"{prefix}{name}/", suffixes)
        else:
            yield prefix + name
