"""Label Studio's JSON of tasks, boxes, polygons, brushes and bitmasks: ours and any other's."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from PIL import PngImagePlugin

from boxmask_core.checks import rules
from boxmask_core.checks.references import is_id
from boxmask_core.checks.shapes import check_corners, check_ring, size_of
from boxmask_core.errors import DatasetError, InvalidMaskError
from boxmask_core.formats.annotated_boxes import four_numbers
from boxmask_core.formats.brush_rle import decode_brush
from boxmask_core.formats.json_items import ListStart, json_items
from boxmask_core.formats.keys import key_of
from boxmask_core.formats.labelstudio_masks import TASKS
from boxmask_core.images import DECODER_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_core.checks.examination import Examination
    from boxmask_core.checks.findings import Findings
    from boxmask_core.checks.references import Id

Size = tuple[int, int]

_PERCENT: Final = (100, 100)
_DATA_URL: Final = "data:image/png;base64,"


def check_labelstudio(path: Path, examination: Examination) -> None:
    """Checks every task of a JSON file, one in memory at a time."""
    file = _file(path)
    if not file.is_file():
        examination.findings.add(rules.MISSING_FILE, str(file))
        return
    ids: set[Id] = set()
    try:
        for number, (field, task) in enumerate(json_items(file), start=-1):
            if task is ListStart.LIST and field is None:
                continue
            if field is not None or not isinstance(task, dict):
                raise DatasetError(file, "must hold a list of tasks")
            identity = task.get("id")
            if is_id(identity) and identity in ids:
                examination.findings.add(rules.DUPLICATE_ID, f"task {identity}")
            if is_id(identity):
                ids.add(identity)
            _check_task(task, f"task {number if identity is None else identity}", file, examination)
    except DatasetError as error:
        examination.findings.add(rules.UNREADABLE_FILE, str(file), error.problem)


def _file(path: Path) -> Path:
    if not path.is_dir() or (path / TASKS).is_file():
        return path / TASKS if path.is_dir() else path
    found = sorted(path.glob("*.json"))
    return found[0] if len(found) == 1 else path / TASKS


def _check_task(task: Mapping[str, Any], where: str, file: Path, examination: Examination) -> None:
    findings = examination.findings
    name = _image_name(task)
    if not name:
        findings.add(rules.MISSING_FIELD, where, "data with the place of an image")
        return
    where = f"{where} ({name})"
    masks, boxes = Counter[str](), 0
    sizes: set[Size] = set()
    seen: set[str] = set()
    # A region is told by several results of the same id: a label here, a shape there.
    for region, results in _regions(task):
        place = f"{where}, region {region}"
        for result in results:
            value = result.get("value")
            if not isinstance(value, dict):
                findings.add(rules.MISSING_FIELD, place, "value")
                continue
            size = size_of(result.get("original_width"), result.get("original_height"))
            if size is not None:
                sizes.add(size)
            label = _label(value)
            kind = _check_value(value, size, findings, place)
            if kind is None:
                continue
            if (content := json.dumps([result.get("type"), value], sort_keys=True)) in seen:
                findings.add(rules.DUPLICATE_BOX if kind == "box" else rules.DUPLICATE_MASK, place)
            seen.add(content)
            boxes += kind == "box"
            masks[label] += kind == "mask"
            break  # the results of one region repeat its shape
    if len(sizes) > 1:
        findings.add(rules.WRONG_SIZE, where, f"its regions give the image the sizes {sorted(sizes)}")
    declared = next(iter(sizes)) if sizes else _declared(task)
    try:
        key = key_of(name, file)
    except DatasetError as error:
        findings.add(rules.MISSING_FIELD, where, error.problem)
        return
    base = name.rsplit("/", 1)[-1]
    places = [file.parent / name, file.parent / "images" / name, file.parent / "images" / base]
    examination.add_image(key, declared, places, +masks, boxes=boxes, where=where)


def _image_name(task: Mapping[str, Any]) -> str:
    data = task.get("data")
    values = [value for value in data.values() if isinstance(value, str)] if isinstance(data, dict) else []
    if not values:
        return ""
    parts = urlsplit(str(data.get("image") or values[0]) if isinstance(data, dict) else values[0])
    named = parse_qs(parts.query, errors="surrogatepass").get("d")
    return named[0] if named else unquote(parts.path).lstrip("/")


def _declared(task: Mapping[str, Any]) -> Size | None:
    meta = task.get("meta")
    return size_of(meta.get("width"), meta.get("height")) if isinstance(meta, dict) else None


def _regions(task: Mapping[str, Any]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Yields the results of the task's first annotation, or prediction where there is none, by region."""
    for field in ("annotations", "completions", "predictions"):
        answers = task.get(field)
        answer = answers[0] if isinstance(answers, list) and answers else None
        results = answer.get("result") if isinstance(answer, dict) else None
        if not isinstance(results, list):
            continue
        regions: dict[str, list[Mapping[str, Any]]] = {}
        for number, result in enumerate(results):
            if isinstance(result, dict):
                regions.setdefault(str(result.get("id", number)), []).append(result)
        yield from regions.items()
        return


def _label(value: Mapping[str, Any]) -> str:
    """Returns the first label of a result, or "?" where it has none."""
    fields = [found for name, found in value.items() if name.endswith("labels") and isinstance(found, list)]
    return next((label for found in fields for label in found if isinstance(label, str)), "?")


def _check_value(value: Mapping[str, Any], size: Size | None, findings: Findings, where: str) -> str | None:
    """Checks the shape of a result; returns "mask", "box" or None where it is neither."""
    if "rle" in value or "imageDataURL" in value:
        if size is None:
            findings.add(rules.MISSING_FIELD, where, "original_width and original_height")
            return "mask"
        try:
            data = value.get("rle")
            pixels = (
                decode_brush(data, *size) if data is not None else _opaque(str(value["imageDataURL"]), size)
            )
        except InvalidMaskError as error:
            findings.add(rules.BAD_MASK, where, str(error))
        else:
            if not pixels.any():
                findings.add(rules.EMPTY_MASK, where)
        return "mask"
    if "points" in value:
        _check_points(value["points"], findings, where)
        return "mask"
    if "width" in value and "height" in value and "x" in value:
        numbers = four_numbers([value.get(name) for name in ("x", "y", "width", "height")])
        if numbers is None:
            findings.add(rules.MALFORMED_BOX, where, "expected numbers x, y, width, height")
        else:
            x, y, width, height = numbers
            check_corners((x, y, x + width, y + height), _PERCENT, findings, where)
        return "box"
    return None


def _check_points(values: object, findings: Findings, where: str) -> None:
    try:
        points = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[1] != 2:
        findings.add(rules.BAD_POLYGON, where, "expected points [x, y] in percent")
        return
    check_ring(points, _PERCENT, findings, where)


def _opaque(url: str, size: Size) -> NDArray[np.bool_]:
    try:
        data = base64.b64decode(url.removeprefix(_DATA_URL), validate=True)
        with PngImagePlugin.PngImageFile(io.BytesIO(data)) as image:
            if image.size != size:
                problem = "{} x {} pixels in an image of {} x {}".format(*image.size, *size)
                raise InvalidMaskError("bitmask", problem)
            return np.asarray(image.convert("RGBA"))[:, :, 3] > 0
    except DECODER_ERRORS as error:
        raise InvalidMaskError("bitmask", str(error)) from error
