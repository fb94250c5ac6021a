"""A dataset at a URL: its annotation files are fetched, its images stay where they are until they are read.

The readers of all formats look for files by name, many times over, which a store answers slowly. So they are
given a folder of this machine that is laid out like the remote one: with the annotation files in it, and in
place of every image a link that points to the image's URL. What they say is then told in terms of URLs.
"""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from boxmask_core.errors import DatasetError
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.keys import checked_key
from boxmask_core.images import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from boxmask_core.formats.interface import DetectionDataset
    from boxmask_core.instances import ImageRecord
    from boxmask_core.locations import RemotePath

_ANNOTATIONS: Final = (".xml", ".json", ".jsonl", ".txt", ".yaml", ".yml", ".csv", ".parquet")
_LISTS_FOLDERS: Final = (".yaml", ".yml")
_NAMES_OF_CLASSES: Final = "class-descriptions"
_WEB: Final = frozenset({"http", "https"})
_COCO_FOLDER: Final = "annotations"
_WEB_REQUESTS: Final = 8
"""So many requests at once are no burden to a small web server; other stores take fsspec's number."""


class RemoteDataset:
    """A dataset at a URL, in any format.

    Args:
        url: The folder, or its annotation or configuration file. A file is read with the images of the folder
            around it; on a web server, which lists no folders, an image lies where its name says.
        opened: Opens the dataset as if it lay on this machine.
        images: The folder of the images, if they lie elsewhere.

    Raises:
        DatasetError: There is nothing, or it cannot be reached, or it is no dataset.
        MissingExtraError: No module that reads such URLs is installed.
    """

    def __init__(
        self, url: RemotePath, opened: Callable[[Path], DetectionDataset], images: Path | None = None
    ) -> None:
        copy = TemporaryDirectory(prefix="boxmask-", ignore_cleanup_errors=True)
        weakref.finalize(self, copy.cleanup)
        self._here = Path(copy.name)
        is_file = url.suffix.lower() in _ANNOTATIONS
        self._there = _folder_around(url) if is_file else url
        _fetch(url, self._there, self._here, is_file=is_file, alone=images is not None)
        with self._told():
            self._dataset = opened(self._here / url.relative_to(self._there))
        self.class_names = self._dataset.class_names
        self.image_root = self._place(self._dataset.image_root)
        self.notes = tuple(map(self._text, self._dataset.notes))

    def __len__(self) -> int:
        return len(self._dataset)

    def __iter__(self) -> Iterator[ImageRecord | RecordError]:
        with self._told():
            for record in self._dataset:
                path = self._place(record.path)
                if isinstance(record, RecordError):
                    yield RecordError(record.key, path, self._text(record.problem))
                else:
                    yield replace(record, path=path)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except DatasetError as error:
            where = self._place(error.where) if isinstance(error.where, Path) else error.where
            raise DatasetError(where, self._text(error.problem)) from error

    def _place(self, path: Path) -> Path:
        """Returns the URL that a path of the copy stands for; other paths as they are."""
        return self._there / path.relative_to(self._here) if path.is_relative_to(self._here) else path

    def _text(self, text: str) -> str:
        return text.replace(str(self._here), str(self._there))


def _folder_around(file: RemotePath) -> RemotePath:
    folder = file.parent
    return folder.parent if folder.name == _COCO_FOLDER else folder


def _fetch(url: RemotePath, there: RemotePath, here: Path, *, is_file: bool, alone: bool) -> None:
    """Lays out a folder of this machine like the remote one.

    Args:
        url: What the user named.
        there: The remote folder.
        here: An empty folder.
        is_file: Whether a file was named.
        alone: Whether a file that was named is enough, for the images lie elsewhere.
    """
    wanted = url.relative_to(there).as_posix()
    lists_folders = wanted.lower().endswith(_LISTS_FOLDERS)
    by_itself = is_file and not lists_folders and (alone or url.scheme in _WEB)
    names = [wanted] if by_itself else _listed(there)
    fetched = [name for name in names if name.lower().endswith(_ANNOTATIONS)]
    if is_file and not lists_folders:
        fetched = [name for name in fetched if name == wanted or _NAMES_OF_CLASSES in name]
    if is_file and wanted not in names:
        raise DatasetError(url, "there is no such file")
    try:
        for name in names:
            place = here / checked_key(name, there)
            place.parent.mkdir(parents=True, exist_ok=True)
            if name.lower().endswith(IMAGE_SUFFIXES):
                place.symlink_to(str(there / name))
    except OSError as error:
        problem = f"cannot be laid out on this machine: {error.strerror}: {error.filename}"
        raise DatasetError(there, problem) from error
    _download(there, here, fetched)


def _listed(folder: RemotePath) -> list[str]:
    """Returns the files of a remote folder and its sub-folders, relative to it, in order."""
    filesystem, name = folder.filesystem()
    try:
        listed = filesystem.find(name)
        filesystem.invalidate_cache()
    except Exception as error:
        raise DatasetError(folder, f"cannot be listed: {folder.refusal(error).strerror}") from error
    prefix = f"{name.rstrip('/')}/"
    found = [entry.removeprefix(prefix) for entry in listed if entry.startswith(prefix)]
    if not found:
        problem = "there is no such folder, or nothing in it that may be listed"
        hint = "; of a web server name an annotation file" if folder.scheme in _WEB else ""
        raise DatasetError(folder, f"{problem}{hint}")
    return sorted(unquote(entry) if folder.scheme in _WEB else entry for entry in found)


def _download(there: RemotePath, here: Path, names: list[str]) -> None:
    filesystem, _ = there.filesystem()
    if not names:
        return
    sources = [(there / name).filesystem()[1] for name in names]
    try:
        at_once = {"batch_size": _WEB_REQUESTS} if there.scheme in _WEB else {}
        filesystem.get(sources, [str(here / name) for name in names], **at_once)
    except Exception as error:
        where = there / names[0] if len(names) == 1 else there
        if isinstance(error, FileNotFoundError):
            raise DatasetError(where, "there is no such file") from error
        problem = f"its annotations cannot be fetched: {there.refusal(error).strerror}"
        raise DatasetError(where, problem) from error
