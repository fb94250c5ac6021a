"""What the annotations of one Label Studio task say: results that share an id are one region, one object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from boxmask_core.formats.annotated_boxes import four_numbers, is_turned, named_flags, read_box, turned_issue
from boxmask_core.instances import BoxIssue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from boxmask_core.instances import Instance

_BOX_TYPES = ("rectanglelabels", "rectangle", "labels")
_LARGEST_SIDE = 1 << 31


@dataclass(slots=True)
class TaskSurvey:
    """What one pass over the tasks tells; those without an annotation are no tasks here."""

    tasks: int = 0
    unlabelled: int = 0
    several: int = 0
    others: int = 0
    names: dict[str, None] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, tasks: Iterable[Any]) -> TaskSurvey:
        """Reads tasks, as the export has them."""
        survey = cls()
        for task in tasks:
            if is_unlabelled(task):
                survey.unlabelled += 1
                continue
            survey.tasks += 1
            survey.several += len(counted_annotations(task)) > 1
            for region in regions_of(task):
                survey.names.update(dict.fromkeys(region.labels))
                if not region.is_box:
                    survey.others += 1
                    survey.kinds.update(region.kinds)
        return survey

    def notes(self) -> tuple[str, ...]:
        """Returns what is left out and what is chosen, in sentences for the user."""
        notes = []
        if self.unlabelled:
            notes.append(f"{self.unlabelled} tasks have no annotation and are left out")
        if self.several:
            several = f"{self.several} tasks have several annotations"
            notes.append(f"{several}; the ground truth is read, else the first")
        if self.others:
            kinds = ", ".join(sorted(self.kinds))
            notes.append(f"{self.others} regions are no boxes and are left out: {kinds}")
        return tuple(notes)


class Region:
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
        """Whether one of the results is a box."""
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
        """The types of the results."""
        return tuple(str(result.get("type")) for result in self._results)

    def instance(self) -> Instance | BoxIssue:
        """Returns the instance, or what is wrong with it. The region must be a box."""
        box = self._box or {}
        name, *more = (*self.labels, "")[: max(len(self.labels), 1)]
        if more:
            problem = f"the box has the labels {list(self.labels)}, and a box has one class; keep one"
            return BoxIssue(self._id, name, problem)
        value = _value(box)
        for what, degrees in (("the image", box.get("image_rotation")), ("", value.get("rotation"))):
            if is_turned(degrees):
                issue = turned_issue(self._id, name, degrees)
                return BoxIssue(self._id, name, f"{what}: {issue.problem}") if what else issue
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


def counted_annotations(task: Any) -> list[Mapping[str, Any]]:
    """Returns the annotations of a task that count, the one to read first."""
    found = task.get("annotations", task.get("completions")) if isinstance(task, dict) else None
    listed = found if isinstance(found, list) else []
    entries = [entry for entry in listed if isinstance(entry, dict) and not entry.get("was_cancelled")]
    return sorted(entries, key=lambda entry: not entry.get("ground_truth"))


def is_unlabelled(task: Any) -> bool:
    """Says whether a task has a list of annotations, none of which counts."""
    lists = isinstance(task, dict) and isinstance(task.get("annotations", task.get("completions")), list)
    return lists and not counted_annotations(task)


def regions_of(task: Any) -> list[Region]:
    """Returns the regions of the annotation that is read, in its order; a broken task has none."""
    annotations = counted_annotations(task)
    results = annotations[0].get("result") if annotations else None
    regions: dict[str, list[Mapping[str, Any]]] = {}
    for index, result in enumerate(results if isinstance(results, list) else []):
        if isinstance(result, dict):
            regions.setdefault(str(result.get("id") or index), []).append(result)
    return [Region(identity, entries) for identity, entries in regions.items()]


def _value(result: Mapping[str, Any]) -> Mapping[str, Any]:
    value = result.get("value")
    return value if isinstance(value, dict) else {}


def _labels(result: Mapping[str, Any]) -> list[str]:
    kind = result.get("type")
    is_text = isinstance(kind, str)  # broken files hold types that are not even hashable
    labels = _value(result).get(kind) if is_text and kind in {"rectanglelabels", "labels"} else None
    return [name for name in labels if isinstance(name, str) and name] if isinstance(labels, list) else []
