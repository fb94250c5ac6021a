"""Label Studio: boxes from its JSON export.

A box is ``x, y, width, height`` in percent of the image, with a rotation about its top-left corner. Its
label stands in the same result (``rectanglelabels``), or in a result of the same id (``labels``, beside a
``rectangle``); several sets of labels in one project are read alike. Flags are choices made for the region,
called ``difficult``, ``truncated``, ``occluded`` or ``crowd``. Of several annotations of a task the ground
truth is read, else the first that was not cancelled. Tasks without one are left out and counted, and so are
predictions. The file is read as a whole, but for its brushes and bitmasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from boxmask_core.errors import DatasetError
from boxmask_core.formats.annotated_boxes import (
    distinct,
    four_numbers,
    is_turned,
    named_flags,
    read_box,
    refuse_split,
    told_apart,
    turned_issue,
)
from boxmask_core.formats.image_places import first_file, portable
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.json_files import kind_of_json, load_json
from boxmask_core.formats.keys import key_of
from boxmask_core.images import IMAGE_SUFFIXES
from boxmask_core.instances import BoxIssue, ImageRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from boxmask_core.instances import Instance

_UNREAD = ("rle", "imageDataURL")
_BOX_TYPES = ("rectanglelabels", "rectangle", "labels")
_LARGEST_SIDE = 1 << 31
_UPLOAD_PREFIX = 8
"""Label Studio puts so many hexadecimal digits and a hyphen in front of the name of an uploaded file."""


class LabelStudioDataset:
    """The boxes of a Label Studio export ("JSON", not "JSON-MIN").

    Args:
        path: The JSON file, or a folder that holds one. Images are looked for beside it and in ``images``,
            by the path in the task, then by name, then by name without the prefix of an upload.
        split: Label Studio has none; must be None.

    Raises:
        DatasetError: There is no such file, or it breaks the format.
    """

    def __init__(self, path: Path, *, split: str | None = None) -> None:
        refuse_split(path, split)
        self._file = _file(path)
        content = load_json(self._file, without=_UNREAD)
        if not isinstance(content, list):
            raise DatasetError(self._file, f"must hold a list of tasks, but got {type(content).__name__}")
        self._tasks = [task for task in content if not _is_unlabelled(task)]
        self.image_root = self._file.parent
        regions = [region for task in self._tasks for region in _regions(task)]
        self.class_names = tuple(dict.fromkeys(name for region in regions for name in region.labels))
        self.notes = _notes(content, self._tasks, regions)

    @staticmethod
    def recognises(path: Path) -> bool:
        """Says whether ``path`` is a JSON file that holds a list, or a folder whose only JSON file is one."""
        files = [path] if path.is_file() else list(path.glob("*.json"))
        return len(files) == 1 and files[0].suffix.lower() == ".json" and kind_of_json(files[0]) == "list"

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[ImageRecord | RecordError]:
        return distinct(map(self._record, self._tasks), self._file)

    def _record(self, task: Any) -> ImageRecord | RecordError:
        identity = f"task {task.get('id')}" if isinstance(task, dict) else "task"
        try:
            name = _image_name(task, self._file)
            path = self._image(name)
            key = key_of(path.relative_to(self.image_root).as_posix(), self._file)
        except DatasetError as error:
            return RecordError(identity, self._file, error.problem)
        regions = [region for region in _regions(task) if region.is_box]
        instances, issues = told_apart(region.instance() for region in regions)
        size = next((region.size for region in regions if region.size is not None), None)
        return ImageRecord(key, path, instances, issues, size)

    def _image(self, name: str) -> Path:
        key_of(name, self._file)  # nothing outside the folder is looked for
        base = name.rsplit("/", 1)[-1]
        names = dict.fromkeys([name, base, _without_prefix(base)])
        folders = (self.image_root, self.image_root / "images")
        return first_file(folder / entry for entry in names for folder in folders) or self.image_root / name


class _Region:
    """The results of one task that share an id: one object."""

    def __init__(self, identity: str, results: Sequence[Mapping[str, Any]]) -> None:
        self._id = identity
        self._results = results
        boxes = [
            result for result in results if result.get("type") in _BOX_TYPES and "width" in _value(result)
        ]
        self._box = boxes[0] if boxes else None
        found = [name for result in results for name in _labels(result)]
        self.labels = tuple(dict.fromkeys(found)) if boxes else ()

    @property
    def is_box(self) -> bool:
        return self._box is not None

    @property
    def size(self) -> tuple[int, int] | None:
        """``(width, height)`` of the image, pixels."""
        box = self._box or {}
        width, height = box.get("original_width"), box.get("original_height")
        if isinstance(width, int) and isinstance(height, int) and min(width, height) > 0:
            return (width, height) if max(width, height) <= _LARGEST_SIDE else None
        return None

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(str(result.get("type")) for result in self._results)

    def instance(self) -> Instance | BoxIssue:
        box = self._box or {}
        name, *more = (*self.labels, "")[: max(len(self.labels), 1)]
        if more:
            problem = f"the box has the labels {list(self.labels)}, and a box has one class; keep one"
            return BoxIssue(self._id, name, problem)
        value = _value(box)
        for field, degrees in (("the image", box.get("image_rotation")), ("", value.get("rotation"))):
            if is_turned(degrees):
                issue = turned_issue(self._id, name, degrees)
                return BoxIssue(self._id, name, f"{field}: {issue.problem}") if field else issue
        if self.size is None:
            problem = "has no original_width and original_height, which percent are relative to"
            return BoxIssue(self._id, name, problem)
        width, height = self.size
        percent = [value.get(field) for field in ("x", "y", "width", "height")]
        numbers = four_numbers(percent)
        corners = None
        if numbers is not None:
            x, y, w, h = numbers
            corners = (x * width / 100, y * height / 100, (x + w) * width / 100, (y + h) * height / 100)
        expected = "numbers x, y, width, height in percent"
        flags = named_flags(dict.fromkeys(self._choices(), True))
        return read_box(corners, name, self._id, flags=flags, expected=expected, got=percent)

    def _choices(self) -> list[str]:
        choices = [_value(result).get("choices") for result in self._results]
        return [str(name).lower() for entry in choices if isinstance(entry, list) for name in entry]


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.json"))
    if len(files) != 1:
        raise DatasetError(path, f"must hold one JSON file of Label Studio's, but got {len(files)}; name it")
    return files[0]


def _annotations(task: Any) -> list[Mapping[str, Any]]:
    """Returns the annotations of a task that count, the one to read first."""
    found = task.get("annotations", task.get("completions")) if isinstance(task, dict) else None
    listed = found if isinstance(found, list) else []
    entries = [entry for entry in listed if isinstance(entry, dict) and not entry.get("was_cancelled")]
    return sorted(entries, key=lambda entry: not entry.get("ground_truth"))


def _is_unlabelled(task: Any) -> bool:
    lists = isinstance(task, dict) and isinstance(task.get("annotations", task.get("completions")), list)
    return lists and not _annotations(task)


def _regions(task: Any) -> list[_Region]:
    annotations = _annotations(task)
    results = annotations[0].get("result") if annotations else None
    regions: dict[str, list[Mapping[str, Any]]] = {}
    for index, result in enumerate(results if isinstance(results, list) else []):
        if isinstance(result, dict):
            regions.setdefault(str(result.get("id") or index), []).append(result)
    return [_Region(identity, entries) for identity, entries in regions.items()]


def _value(result: Mapping[str, Any]) -> Mapping[str, Any]:
    value = result.get("value")
    return value if isinstance(value, dict) else {}


def _labels(result: Mapping[str, Any]) -> list[str]:
    kind = result.get("type")
    is_text = isinstance(kind, str)  # broken files hold types that are not even hashable
    labels = _value(result).get(kind) if is_text and kind in {"rectanglelabels", "labels"} else None
    return [name for name in labels if isinstance(name, str) and name] if isinstance(labels, list) else []


def _notes(content: Sequence[Any], tasks: Sequence[Any], regions: Sequence[_Region]) -> tuple[str, ...]:
    notes = []
    if unlabelled := len(content) - len(tasks):
        notes.append(f"{unlabelled} tasks have no annotation and are left out")
    if several := sum(len(_annotations(task)) > 1 for task in tasks):
        notes.append(f"{several} tasks have several annotations; the ground truth is read, else the first")
    if others := sum(not region.is_box for region in regions):
        kinds = sorted({kind for region in regions if not region.is_box for kind in region.kinds})
        notes.append(f"{others} regions are no boxes and are left out: {', '.join(kinds)}")
    return tuple(notes)


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
