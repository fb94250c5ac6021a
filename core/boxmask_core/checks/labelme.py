"""LabelMe's JSON files, boxes, polygons and masks: ours and any other's."""

from __future__ import annotations

import base64
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from boxmask_core.checks import rules
from boxmask_core.checks.maps import told_names
from boxmask_core.checks.shapes import check_corners, check_ring, size_of
from boxmask_core.errors import DatasetError, InvalidInputError
from boxmask_core.formats.file_tree import files_below
from boxmask_core.formats.image_places import portable
from boxmask_core.formats.json_files import kind_of_json, load_json
from boxmask_core.formats.keys import text_lines
from boxmask_core.formats.labelme_masks import FOLDER, LABELS
from boxmask_core.palette import decode_indexed_png

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_core.checks.examination import Examination
    from boxmask_core.checks.findings import Findings

Size = tuple[int, int]


def check_labelme(path: Path, examination: Examination) -> None:
    """Checks every JSON file of LabelMe's below a folder, one in memory at a time."""
    root = path if path.is_dir() else path.parent
    base = root / FOLDER if (root / FOLDER).is_dir() else root
    labels = _labels(root / LABELS, examination)
    found = 0
    names = files_below(base, (".json",)) if path.is_dir() else iter([path.name])
    for name in names:
        if base == root and kind_of_json(base / name) != "labelme":
            continue
        found += 1
        _check_file(base, name, labels, examination)
    if not found:
        examination.findings.add(rules.MISSING_FILE, str(base / "*.json"), "a file of LabelMe's")


def _labels(file: Path, examination: Examination) -> frozenset[str] | None:
    """Returns the labels that a list allows, or None where there is no list that can be read."""
    if not file.is_file():
        return None
    names = told_names(lambda: text_lines(file), examination.findings)
    return None if names is None else frozenset(names)


def _check_file(base: Path, name: str, labels: frozenset[str] | None, examination: Examination) -> None:
    findings = examination.findings
    try:
        content = load_json(base / name, without=("imageData",))
    except DatasetError as error:
        findings.add(rules.UNREADABLE_FILE, name, error.problem)
        return
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(shapes, list):
        findings.add(rules.MISSING_FIELD, name, "shapes")
        return
    width, height = content.get("imageWidth"), content.get("imageHeight")
    size = size_of(width, height)
    if size is None:
        findings.add(
            rules.MISSING_FIELD, name, f"imageWidth and imageHeight, but got {width!r} and {height!r}"
        )
    image = content.get("imagePath")
    if not isinstance(image, str) or not image:
        findings.add(rules.MISSING_FIELD, name, "imagePath")
        image = ""
    masks, boxes = Counter[str](), 0
    seen: set[str] = set()
    for number, shape in enumerate(shapes):
        where = f"{name}, shape {number}"
        if not isinstance(shape, dict) or not isinstance(shape.get("label"), str):
            findings.add(rules.MISSING_FIELD, where, "label")
            continue
        if labels is not None and shape["label"] not in labels:
            findings.add(rules.UNLISTED_CLASS, where, f"{shape['label']!r} is not in {LABELS}")
        kind = str(shape.get("shape_type") or "polygon")
        if (content_of := json.dumps([shape["label"], shape.get("points"), shape.get("mask")])) in seen:
            findings.add(rules.DUPLICATE_BOX if kind == "rectangle" else rules.DUPLICATE_MASK, where)
        seen.add(content_of)
        if kind in {"mask", "polygon"}:
            masks[shape["label"]] += _is_first_of_group(shape, shapes[:number])
        else:
            boxes += kind == "rectangle"
        _check_shape(shape, kind, size, findings, where)
    place = (base / name).parent / portable(image)
    examination.add_image(
        name[: -len(".json")], size, [place] if image else [], masks, boxes=boxes, where=name
    )


def _is_first_of_group(shape: Mapping[str, Any], earlier: list[Any]) -> bool:
    """Says whether a shape begins an object: polygons of one group and label are parts of one."""
    group = shape.get("group_id")
    return group is None or not any(
        isinstance(other, dict) and other.get("group_id") == group and other.get("label") == shape["label"]
        for other in earlier
    )


def _check_shape(
    shape: Mapping[str, Any], kind: str, size: Size | None, findings: Findings, where: str
) -> None:
    points = _points(shape.get("points"))
    if points is None:
        findings.add(rules.MISSING_FIELD, where, f"points, but got {shape.get('points')!r:.60}")
    elif kind == "mask":
        _check_mask(shape, points, size, findings, where)
    elif kind == "polygon":
        check_ring(points, size, findings, where)
    elif kind == "rectangle" and len(points) in {2, 4}:
        (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        check_corners((x0, y0, x1, y1), size, findings, where)
    elif kind == "rectangle":
        findings.add(rules.MALFORMED_BOX, where, f"{len(points)} corners")


def _check_mask(
    shape: Mapping[str, Any], points: NDArray[np.float64], size: Size | None, findings: Findings, where: str
) -> None:
    try:
        pixels = decode_indexed_png(base64.b64decode(shape["mask"], validate=True), what="its mask") > 0
    except (KeyError, TypeError, ValueError, InvalidInputError) as error:
        findings.add(
            rules.BAD_MASK, where, str(error) if isinstance(error, InvalidInputError) else repr(error)
        )
        return
    if len(points) != 2 or not np.isfinite(points).all():
        findings.add(rules.BAD_MASK, where, f"expected two corners, but got {len(points)}")
        return
    (x0, y0), (x1, y1) = points.tolist()
    height, width = pixels.shape
    if (round(x1 - x0) + 1, round(y1 - y0) + 1) != (width, height):
        told = f"its PNG has {width} x {height}, its corners span {x1 - x0 + 1:g} x {y1 - y0 + 1:g}"
        findings.add(rules.WRONG_SIZE, where, told)
    elif size is not None and (min(x0, y0) < 0 or x0 + width > size[0] or y0 + height > size[1]):
        told = f"{width} x {height} at x={x0:g} y={y0:g} in {size[0]} x {size[1]}"
        findings.add(rules.OUTSIDE_IMAGE, where, told)
    if not pixels.any():
        findings.add(rules.EMPTY_MASK, where)


def _points(values: object) -> NDArray[np.float64] | None:
    try:
        points = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return points if points.ndim == 2 and points.shape[1] == 2 else None
