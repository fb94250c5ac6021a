"""A finished conversion against its own summary, and against the dataset that it was made from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from boxmask_core.checks import rules
from boxmask_core.errors import DatasetError
from boxmask_core.formats.closing import EMPTY_MASK
from boxmask_core.formats.flat_losses import HIDDEN_INSTANCES, UNTRUSTED_INSTANCES
from boxmask_core.formats.json_files import load_json
from boxmask_core.formats.yolo_masks import SPLIT_PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from boxmask_core.checks.examination import Examination

SUMMARY: Final = "summary.json"
ERRORS: Final = "errors.jsonl"
_ABSENT: Final = (EMPTY_MASK, HIDDEN_INSTANCES, UNTRUSTED_INSTANCES)
"""Losses that are instances without a mask in the files."""


def read_summary(folder: Path) -> Mapping[str, Any] | None:
    """Returns what a finished conversion says of itself, or None where the folder is none.

    Raises:
        DatasetError: ``summary.json`` is there and cannot be read.
    """
    if not (folder / SUMMARY).is_file():
        return None
    summary = load_json(folder / SUMMARY)
    return summary if isinstance(summary, dict) and "target" in summary else None


def check_summary(summary: Mapping[str, Any], folder: Path, examination: Examination) -> None:
    """Compares the numbers of a summary with what was found in the files.

    Args:
        summary: What `read_summary` gave.
        folder: Where it was read.
        examination: The check of the files, finished.
    """
    losses = _counts(summary.get("losses"))
    expected = {"images_converted": (summary.get("images_converted"), examination.images)}
    if examination.counts_masks:
        absent = sum(losses.get(loss, 0) for loss in _ABSENT)
        split = losses.get(SPLIT_PARTS, 0)
        boxes = summary.get("boxes_masked")
        told = boxes - absent + split if isinstance(boxes, int) else None
        expected["boxes_masked"] = (told, examination.masks)
    failed = [summary.get("images_failed"), summary.get("boxes_failed")]
    try:
        lines = _errors(folder)
    except DatasetError as error:
        examination.findings.add(rules.UNREADABLE_FILE, str(folder / ERRORS), error.problem)
    else:
        if all(isinstance(count, int) for count in failed):
            expected[ERRORS] = (sum(count for count in failed if isinstance(count, int)), len(lines))
    for name, (told, found) in expected.items():
        if told != found:
            examination.findings.add(rules.INCOMPLETE, name, f"{SUMMARY} says {told}, the files hold {found}")
    if examination.counts_masks and not any(losses.get(loss) for loss in (*_ABSENT, SPLIT_PARTS)):
        _compare_classes(summary, examination)


def compare_with_source(folder: Path, examination: Examination) -> None:
    """Asks of every image of the source whether it was answered.

    Args:
        folder: The conversion; what its ``errors.jsonl`` names is excused.
        examination: The check of the files, finished, with its source.
    """
    if examination.source is None:
        return
    try:
        lines = _errors(folder)
    except DatasetError:
        lines = []
    failed_images = {line.get("key") for line in lines if line.get("box") is None}
    failed_boxes: dict[Any, int] = {}
    for line in lines:
        if line.get("box") is not None:
            failed_boxes[line.get("key")] = failed_boxes.get(line.get("key"), 0) + 1
    for key, image in examination.source.items():
        masks = examination.masks_of.get(key)
        if masks is None:
            if key not in failed_images:
                examination.findings.add(rules.NOT_CONVERTED, key, f"{image.boxes} boxes")
        elif examination.counts_masks and masks > image.boxes:
            examination.findings.add(rules.SURPLUS_MASK, key, f"{masks} masks of {image.boxes} boxes")
        elif examination.counts_masks and masks < image.boxes - failed_boxes.get(key, 0):
            examination.findings.add(rules.MISSING_MASK, key, f"{masks} masks of {image.boxes} boxes")


def _compare_classes(summary: Mapping[str, Any], examination: Examination) -> None:
    classes = summary.get("classes")
    entries = classes.items() if isinstance(classes, dict) else ()
    told = {name: entry.get("boxes") for name, entry in entries if isinstance(entry, dict)}
    for name in sorted(told.keys() | examination.classes.keys()):
        if told.get(name, 0) != examination.classes[name]:
            problem = f"{SUMMARY} says {told.get(name, 0)} masks, the files hold {examination.classes[name]}"
            examination.findings.add(rules.INCOMPLETE, f"class {name!r}", problem)


def _counts(values: object) -> dict[str, int]:
    """Returns the numbers among the values of an object."""
    entries = values.items() if isinstance(values, dict) else ()
    return {name: count for name, count in entries if isinstance(count, int)}


def _errors(folder: Path) -> list[dict[str, Any]]:
    """Reads what a conversion could not do.

    Raises:
        DatasetError: It cannot be read.
    """
    file = folder / ERRORS
    try:
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(file, f"cannot be read: {error}") from error
    return [line for line in lines if isinstance(line, dict)]


def target_of(folder: Path) -> str | None:
    """Returns the format that a finished conversion was written in, or None where the folder is none."""
    try:
        summary = read_summary(folder) if folder.is_dir() else None
    except DatasetError:
        return None
    return str(summary["target"]) if summary is not None else None
