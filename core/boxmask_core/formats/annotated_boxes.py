"""From what an annotation file says of a box to an instance, or to a report of what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError, InvalidBoxError
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.scratch import FirstHolders
from boxmask_core.instances import BoxIssue, Flags, Instance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from boxmask_core.instances import ImageRecord

NO_FLAGS = Flags()

_FULL_TURN = 360.0


def four_numbers(values: object) -> tuple[float, float, float, float] | None:
    """Returns four numbers as floats, or None where ``values`` are anything else. NaN is a number here."""
    if not isinstance(values, list | tuple) or len(values) != 4 or any(isinstance(v, bool) for v in values):
        return None
    try:
        first, second, third, fourth = map(float, values)
    except (TypeError, ValueError, OverflowError):
        return None
    return first, second, third, fourth


def read_box(
    corners: tuple[float, float, float, float] | None,
    class_name: str,
    identity: str,
    *,
    flags: Flags = NO_FLAGS,
    expected: str,
    got: object,
) -> Instance | BoxIssue:
    """Returns the instance of a box, or what is wrong with it.

    Args:
        corners: x0, y0, x1, y1 in pixels, or None where the file does not hold four numbers.
        class_name: Its class; empty is an issue.
        identity: Its id.
        flags: Its flags.
        expected: What the format holds, for the message.
        got: What the file holds, for the message.
    """
    if not class_name:
        return BoxIssue(identity, "", "the object has no class name")
    if corners is None:
        return BoxIssue(identity, class_name, f"expected {expected}, but got {got!r}")
    try:
        return Instance(Box(*corners), class_name, flags, identity)
    except InvalidBoxError as error:
        return BoxIssue(identity, class_name, str(error))


def is_turned(degrees: object) -> bool:
    """Says whether a rotation is anything but none at all; what is no number counts as turned.

    Args:
        degrees: As the file has it; None and empty text are no rotation.
    """
    if degrees is None or degrees == "":
        return False
    try:
        return float(degrees) % _FULL_TURN != 0  # type: ignore[arg-type]  # whatever JSON or XML holds
    except (TypeError, ValueError, OverflowError):
        return True


def turned_issue(identity: str, class_name: str, degrees: object) -> BoxIssue:
    """Returns the report of a rotated box: boxes are upright, and turning one would change what it holds."""
    problem = f"the box is rotated by {degrees!s} degrees, and boxes must be upright; draw it upright"
    return BoxIssue(identity, class_name, problem)


def truth(value: object) -> bool:
    """Reads a flag: true, a positive number, "1", "true" or "yes"."""
    if isinstance(value, str):
        text = value.strip().lower()
        try:
            return float(text) > 0
        except ValueError:
            return text in {"true", "yes"}
    return isinstance(value, bool | int | float) and value > 0


def named_flags(noted: Mapping[str, object]) -> Flags:
    """Returns the flags among attributes that are called as boxmask calls them."""
    return Flags(
        difficult=truth(noted.get("difficult")),
        truncated=truth(noted.get("truncated")),
        occluded=truth(noted.get("occluded")),
        crowd=truth(noted.get("crowd", noted.get("iscrowd"))),
    )


def told_apart(
    read: Iterable[Instance | BoxIssue],
) -> tuple[tuple[Instance, ...], tuple[BoxIssue, ...]]:
    """Separates instances from issues; both keep their order."""
    instances: list[Instance] = []
    issues: list[BoxIssue] = []
    for entry in read:
        if isinstance(entry, Instance):
            instances.append(entry)
        else:
            issues.append(entry)
    return tuple(instances), tuple(issues)


def distinct(records: Iterable[ImageRecord | RecordError], file: Path) -> Iterator[ImageRecord | RecordError]:
    """Yields the records; a second one of the same key becomes an error, for outputs are named after keys."""
    with FirstHolders() as holders:
        for record in records:
            if not isinstance(record, RecordError):
                other = holders.claim(record.key, record.path.name)
                if other is not None:
                    yield RecordError(record.key, file, shared_key(record.key, other, record.path.name))
                    continue
            yield record


def shared_key(key: str, first: str, second: str) -> str:
    """Returns the problem of a key that two images have: ``a.jpg`` and ``a.png``, or one image twice.

    Args:
        key: The key, which tells the folder.
        first: File name of the image that has it.
        second: File name of the other one.
    """
    both = f"{first} is there twice; remove one" if first == second else f"{first} and {second}; rename one"
    return f"two images share the key {key!r}: {both}"


def refuse_split(path: Path, split: str | None) -> None:
    """Refuses a split where the format has none.

    Raises:
        DatasetError: A split was asked for.
    """
    if split is not None:
        raise DatasetError(path, f"has no splits, but got --split {split!r}; leave it out")
