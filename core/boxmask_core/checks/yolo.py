"""YOLO's label files, boxes and polygons: ours and any other's."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from boxmask_core.checks import rules
from boxmask_core.checks.shapes import check_corners, check_ring
from boxmask_core.checks.yolo_config import config_names, read_config
from boxmask_core.formats.file_tree import files_below
from boxmask_core.formats.image_places import image_of_key
from boxmask_core.formats.yolo import CONFIG

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from boxmask_core.checks.examination import Examination
    from boxmask_core.checks.findings import Findings

_LABELS: Final = "labels"
_SLACK: Final = 1e-4
"""Beyond 0 or 1 that rounding explains."""


def check_yolo(path: Path, examination: Examination) -> None:
    """Checks every label file in folders called ``labels`` below ``data.yaml``, one in memory at a time."""
    root = path if path.is_dir() else path.parent
    config = read_config(path, examination.findings)
    names = config_names(config) if config is not None else {}
    if config is not None and not names:
        examination.findings.add(rules.MISSING_FIELD, str(root / CONFIG), "names")
    files = 0
    for name in files_below(root, (".txt",)):
        *folders, file_name = name.split("/")
        if _LABELS not in folders:
            continue
        files += 1
        # The last of the folders is the one whose name Ultralytics exchanges.
        at = len(folders) - 1 - folders[::-1].index(_LABELS)
        images = root.joinpath(*folders[:at], "images", *folders[at + 1 :])
        key = "/".join([*folders[:at], *folders[at + 1 :], file_name[: -len(".txt")]])
        masks, boxes = _check_file(root / name, names, examination.findings, name)
        place = image_of_key(images, file_name[: -len(".txt")])
        examination.add_image(key, None, [place], masks, boxes=boxes, where=name)
    if not files:
        examination.findings.add(rules.MISSING_FILE, str(root / _LABELS), "a folder of label files")


def _check_file(
    file: Path, names: Mapping[int, str], findings: Findings, where: str
) -> tuple[Counter[str], int]:
    """Checks one label file; returns its polygons by class and the number of its boxes."""
    masks, boxes = Counter[str](), 0
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        findings.add(rules.UNREADABLE_FILE, where, str(error))
        return masks, boxes
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{where}, line {number}"
        try:
            category, *values = map(float, line.split())
        except ValueError:
            findings.add(rules.MALFORMED_BOX, place, f"expected numbers, but got {line!r:.60}")
            continue
        name = names.get(int(category)) if category.is_integer() else None
        if name is None:
            findings.add(rules.UNLISTED_CLASS, place, f"class {category:g}")
        is_box = len(values) in {4, 5}
        if line in seen:
            findings.add(rules.DUPLICATE_BOX if is_box else rules.DUPLICATE_MASK, place)
        seen.add(line)
        if is_box:
            boxes += 1
            _check_box(values[:4], findings, place)
        elif len(values) < 6 or len(values) % 2:
            findings.add(rules.BAD_POLYGON, place, f"{len(values)} numbers")
        else:
            masks[name or "?"] += 1
            _check_polygon(values, findings, place)
    return masks, boxes


def _check_box(values: list[float], findings: Findings, where: str) -> None:
    cx, cy, width, height = values
    corners = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
    if check_corners(corners, None, findings, where) and (
        min(corners) < -_SLACK or max(corners) > 1 + _SLACK
    ):
        told = "x from {0:g} to {2:g}, y from {1:g} to {3:g}".format(*corners)
        findings.add(rules.NOT_NORMALISED, where, told)


def _check_polygon(values: list[float], findings: Findings, where: str) -> None:
    points = np.array(values).reshape(-1, 2)
    if not check_ring(points, None, findings, where):
        return
    if points.min() < -_SLACK or points.max() > 1 + _SLACK:
        findings.add(rules.NOT_NORMALISED, where, f"from {points.min():g} to {points.max():g}")
