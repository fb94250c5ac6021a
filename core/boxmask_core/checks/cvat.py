"""CVAT XML 1.1 "for images", boxes, polygons and masks: ours and any other's."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from boxmask_core.checks import rules
from boxmask_core.checks.shapes import check_corners, check_ring, size_of
from boxmask_core.errors import DatasetError, InvalidMaskError
from boxmask_core.formats.annotated_boxes import four_numbers
from boxmask_core.formats.cvat import ANNOTATIONS, children, declared_size
from boxmask_core.formats.cvat_rle import pixels_of_runs
from boxmask_core.formats.image_places import portable
from boxmask_core.formats.keys import key_of

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from boxmask_core.checks.examination import Examination
    from boxmask_core.checks.findings import Findings

Size = tuple[int, int]


def check_cvat(path: Path, examination: Examination) -> None:
    """Checks ``annotations.xml``, one image in memory at a time."""
    file = path / ANNOTATIONS if path.is_dir() else path
    if not file.is_file():
        examination.findings.add(rules.MISSING_FILE, str(file))
        return
    labels: set[str] = set()
    ids: set[str] = set()
    try:
        for element in children(file):
            if element.tag == "meta":
                labels |= {label.findtext("name") or "" for label in element.iter("label")}
            elif element.tag == "image":
                _check_image(element, file, labels, ids, examination)
    except DatasetError as error:
        examination.findings.add(rules.UNREADABLE_FILE, str(file), error.problem)


def _check_image(
    element: Element, file: Path, labels: set[str], ids: set[str], examination: Examination
) -> None:
    findings = examination.findings
    name = portable(element.get("name") or "")
    identity = element.get("id")
    if identity is None:
        findings.add(rules.MISSING_FIELD, name, "id")
    elif identity in ids:
        findings.add(rules.DUPLICATE_ID, f"image {identity}", name)
    else:
        ids.add(identity)
    size = declared_size(element)
    if size is None:
        told = f"width and height, but got {element.get('width')!r} and {element.get('height')!r}"
        findings.add(rules.MISSING_FIELD, name, told)
    masks, boxes = Counter[str](), 0
    seen: set[tuple[tuple[str, str], ...]] = set()
    for number, shape in enumerate(element):
        where = f"{name}, shape {number} ({shape.tag})"
        if shape.tag not in {"mask", "polygon", "box"}:
            continue
        label = shape.get("label") or ""
        if labels and label not in labels:
            findings.add(rules.UNLISTED_CLASS, where, repr(label))
        content = tuple(sorted(item for item in shape.attrib.items() if item[0] not in {"source", "z_order"}))
        if content in seen:
            findings.add(rules.DUPLICATE_BOX if shape.tag == "box" else rules.DUPLICATE_MASK, where)
        seen.add(content)
        if shape.tag == "box":
            boxes += 1
            corners = four_numbers([shape.get(side) for side in ("xtl", "ytl", "xbr", "ybr")])
            if corners is None:
                findings.add(rules.MALFORMED_BOX, where, "expected numbers xtl, ytl, xbr, ybr")
            else:
                check_corners(corners, size, findings, where)
            continue
        masks[label] += 1
        if shape.tag == "mask":
            _check_mask(shape, size, findings, where)
        else:
            _check_polygon(shape, size, findings, where)
    try:
        key = key_of(name, file)
    except DatasetError as error:
        findings.add(rules.MISSING_FIELD, f"image {identity}", error.problem)
        return
    places = [file.parent / "images" / name, file.parent / name]
    if subset := element.get("subset"):
        places.append(file.parent / "images" / subset / name)
    examination.add_image(key, size, places, masks, boxes=boxes, where=name)


def _check_mask(shape: Element, size: Size | None, findings: Findings, where: str) -> None:
    try:
        left, top, width, height = (int(shape.get(side, "")) for side in ("left", "top", "width", "height"))
        runs = [int(run) for run in shape.get("rle", "").split(",")]
        if size_of(width, height) is None:
            raise InvalidMaskError("RLE", f"no mask has {width} x {height} pixels")
        pixels = pixels_of_runs(runs, width, height)
    except ValueError:
        findings.add(rules.BAD_MASK, where, "expected whole numbers left, top, width, height and rle")
        return
    except InvalidMaskError as error:
        findings.add(rules.BAD_MASK, where, str(error))
        return
    if size is not None and (min(left, top) < 0 or left + width > size[0] or top + height > size[1]):
        told = f"{width} x {height} at x={left} y={top} in {size[0]} x {size[1]}"
        findings.add(rules.OUTSIDE_IMAGE, where, told)
    if not pixels.any():
        findings.add(rules.EMPTY_MASK, where)


def _check_polygon(shape: Element, size: Size | None, findings: Findings, where: str) -> None:
    try:
        points = np.array([[float(value) for value in point.split(",")] for point in _points(shape)])
    except ValueError:
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[1] != 2:
        findings.add(rules.BAD_POLYGON, where, "expected points x,y;x,y;...")
        return
    check_ring(points, size, findings, where)


def _points(shape: Element) -> list[str]:
    return (shape.get("points") or "").split(";")
