"""Label Studio: boxes from its JSON export.

A box is ``x, y, width, height`` in percent of the image, with a rotation about its top-left corner. Its
label stands in the same result (``rectanglelabels``), or in a result of the same id (``labels``, beside a
``rectangle``); several sets of labels in one project are read alike. Flags are choices made for the region,
called ``difficult``, ``truncated``, ``occluded`` or ``crowd``. Of several annotations of a task the ground
truth is read, else the first that was not cancelled. Tasks without one are left out and counted, and so are
predictions. The file is read as a stream, so that its size does not matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from boxmask_core.errors import DatasetError
from boxmask_core.formats.annotated_boxes import (
    distinct,
    refuse_split,
    told_apart,
)
from boxmask_core.formats.image_places import first_file, portable
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.json_files import kind_of_json
from boxmask_core.formats.json_items import ListStart, json_items
from boxmask_core.formats.keys import key_of
from boxmask_core.formats.labelstudio_regions import TaskSurvey, is_unlabelled, regions_of
from boxmask_core.images import IMAGE_SUFFIXES
from boxmask_core.instances import ImageRecord

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_UNREAD = ("rle", "imageDataURL")
_UPLOAD_PREFIX = 8
"""Label Studio puts so many hexadecimal digits and a hyphen in front of the name of an uploaded file."""


class LabelStudioDataset:
    """The boxes of a Label Studio export ("JSON", not "JSON-MIN").

    Args:
        path: The JSON file, or a folder that holds one. Images are looked for beside it and in ``images``,
            by the path in the task, then by name, then by name without the prefix of an upload.
        split: Label Studio has none; must be None.
        images: The folder that takes the place of the file's; None for just that.

    Raises:
        DatasetError: There is no such file, or it breaks the format.
    """

    def __init__(self, path: Path, *, split: str | None = None, images: Path | None = None) -> None:
        refuse_split(path, split)
        self._file = _file(path)
        self.image_root = images or self._file.parent
        survey = TaskSurvey.of(_tasks(self._file))
        self._count = survey.tasks
        self.class_names = tuple(survey.names)
        self.notes = survey.notes()

    @staticmethod
    def recognises(path: Path) -> bool:
        """Says whether ``path`` is a JSON file that holds a list, or a folder whose only JSON file is one."""
        files = [path] if path.is_file() else list(path.glob("*.json"))
        return len(files) == 1 and files[0].suffix.lower() == ".json" and kind_of_json(files[0]) == "list"

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[ImageRecord | RecordError]:
        labelled = (task for task in _tasks(self._file) if not is_unlabelled(task))
        return distinct(map(self._record, labelled), self._file)

    def _record(self, task: Any) -> ImageRecord | RecordError:
        identity = f"task {task.get('id')}" if isinstance(task, dict) else "task"
        try:
            name = _image_name(task, self._file)
            path = self._image(name)
            key = key_of(path.relative_to(self.image_root).as_posix(), self._file)
        except DatasetError as error:
            return RecordError(identity, self._file, error.problem)
        regions = [region for region in regions_of(task) if region.is_box]
        instances, issues = told_apart(region.instance() for region in regions)
        size = next((region.size for region in regions if region.size is not None), None)
        return ImageRecord(key, path, instances, issues, size)

    def _image(self, name: str) -> Path:
        key_of(name, self._file)  # nothing outside the folder is looked for
        base = name.rsplit("/", 1)[-1]
        names = dict.fromkeys([name, base, _without_prefix(base)])
        folders = (self.image_root, self.image_root / "images")
        return first_file(folder / entry for entry in names for folder in folders) or self.image_root / name


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.json"))
    if len(files) != 1:
        raise DatasetError(path, f"must hold one JSON file of Label Studio's, but got {len(files)}; name it")
    return files[0]


def _tasks(file: Path) -> Iterator[Any]:
    """Yields the tasks of a file, without its brushes and bitmasks."""
    is_list = False
    for name, value in json_items(file, without=_UNREAD):
        if is_list:
            yield value
        elif name is None and value is ListStart.LIST:
            is_list = True
        else:
            kind = "dict" if name is not None else type(value).__name__
            raise DatasetError(file, f"must hold a list of tasks, but got {kind}")
    if not is_list:
        raise DatasetError(file, "must hold a list of tasks, but got dict")


def _image_name(task: Any, file: Path) -> str:
    """Returns the image's path as the task's data name it, without scheme, host and query."""
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        raise DatasetError(file, 'a task has no data; export as "JSON", not "JSON-MIN"')
    if not isinstance(task.get("annotations", task.get("completions")), list):
        raise DatasetError(file, "a task has no list annotations")
    data = task["data"]
    texts = [data[field] for field in ("image", *sorted(data)) if isinstance(data.get(field), str)]
    names = [_path_of(text) for text in texts]
    images = [name for name in names if name.lower().endswith(IMAGE_SUFFIXES)]
    if not images:
        raise DatasetError(file, f"the data of a task name no image, but got {data!r}")
    return images[0]


def _path_of(text: str) -> str:
    try:
        parts = urlsplit(portable(text))
    except ValueError:
        return ""
    local = parse_qs(parts.query).get("d", [""])[0]  # /data/local-files/?d=images/a.jpg
    return (local or unquote(parts.path)).lstrip("/")


def _without_prefix(name: str) -> str:
    prefix, _, rest = name.partition("-")
    is_upload = len(prefix) == _UPLOAD_PREFIX and all(digit in "0123456789abcdef" for digit in prefix)
    return rest if is_upload and rest else name
