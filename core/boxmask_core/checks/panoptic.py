"""COCO panoptic: the JSON of segments against its PNGs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from boxmask_core.checks import rules
from boxmask_core.checks.maps import open_colours
from boxmask_core.checks.references import identity_of, is_id
from boxmask_core.checks.shapes import size_of
from boxmask_core.errors import DatasetError
from boxmask_core.formats.annotated_boxes import four_numbers
from boxmask_core.formats.json_items import ListStart, json_items
from boxmask_core.formats.keys import key_of
from boxmask_core.formats.panoptic_masks import FOLDER, PANOPTIC

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from boxmask_core.checks.examination import Examination
    from boxmask_core.checks.references import Id

Size = tuple[int, int]


def panoptic_files(path: Path) -> list[Path]:
    """Returns the panoptic files at a path: itself, ``panoptic.json``, or those in ``annotations``."""
    if path.is_file():
        return [path]
    if (path / PANOPTIC).is_file():
        return [path / PANOPTIC]
    return sorted((path / "annotations").glob("panoptic_*.json"))


def check_panoptic(path: Path, examination: Examination) -> None:
    """Checks every panoptic file at a path, one PNG in memory at a time."""
    files = panoptic_files(path)
    if not files:
        examination.findings.add(rules.MISSING_FILE, str(path / PANOPTIC))
    for file in files:
        _File(file, examination).check()


class _File:
    def __init__(self, file: Path, examination: Examination) -> None:
        self._file = file
        self._examination = examination
        self._findings = examination.findings
        self._images: dict[Id, tuple[str, Size | None]] = {}
        self._categories: dict[Id, str] = {}
        self._answered: set[Id] = set()
        folders = (file.parent / file.stem, file.parent / FOLDER, file.parent.parent / file.stem, file.parent)
        self._folder = next((folder for folder in folders if folder.is_dir()), file.parent)

    def check(self) -> None:
        try:
            # Twice, for annotations may come before what they refer to.
            for name, entry in json_items(self._file):
                if entry is not ListStart.LIST:
                    self._register(name, entry)
            for name, entry in json_items(self._file):
                if name == "annotations" and entry is not ListStart.LIST:
                    self._annotation(entry)
        except DatasetError as error:
            self._findings.add(rules.UNREADABLE_FILE, str(self._file), error.problem)
        for identity in self._images.keys() - self._answered:
            self._findings.add(rules.DANGLING_REFERENCE, f"image {identity}", "it has no annotation")

    def _register(self, name: str | None, entry: Any) -> None:
        if name not in {"images", "categories"}:
            return
        field = "file_name" if name == "images" else "name"
        identity = identity_of(entry)
        if identity is None or not isinstance(entry.get(field), str):
            self._findings.add(
                rules.MISSING_FIELD, f"{name} of {self._file}", f"id or {field} of {entry!r:.60}"
            )
            return
        known = self._images if name == "images" else self._categories
        if identity in known:
            self._findings.add(rules.DUPLICATE_ID, f"{name} {identity}", entry[field])
        elif name == "categories":
            self._categories[identity] = entry["name"]
        else:
            size = size_of(entry.get("width"), entry.get("height"))
            self._images[identity] = entry["file_name"], size

    def _annotation(self, entry: Any) -> None:
        segments = entry.get("segments_info") if isinstance(entry, dict) else None
        if not isinstance(segments, list) or not isinstance(entry.get("file_name"), str):
            self._findings.add(
                rules.MISSING_FIELD,
                f"an annotation of {self._file}",
                f"segments_info or file_name of {entry!r:.60}",
            )
            return
        where = entry["file_name"]
        image_id = entry.get("image_id")
        image = self._images.get(image_id) if is_id(image_id) else None
        if image is None:
            self._findings.add(rules.DANGLING_REFERENCE, where, f"image_id {image_id!r:.60}")
            return
        if image_id in self._answered:
            self._findings.add(rules.DUPLICATE_ID, f"image_id {image_id}", "two annotations")
        self._answered.add(image_id)
        name, size = image
        masks = self._segments(segments, self._folder / where, size, where)
        base = self._file.parent.parent if self._file.parent.name == "annotations" else self._file.parent
        split = self._file.stem.removeprefix("panoptic_")
        places = [folder / name for folder in (base / split, base / "images", base / "JPEGImages", base)]
        try:
            self._examination.add_image(key_of(name, self._file), size, places, masks, where=name)
        except DatasetError as error:
            self._findings.add(rules.MISSING_FIELD, f"image {name!r}", error.problem)

    def _segments(self, segments: list[Any], png: Path, size: Size | None, where: str) -> Counter[str]:
        masks: Counter[str] = Counter()
        colours = open_colours(png, self._findings)
        if colours is None:
            return masks
        height, width = colours.shape[:2]
        if size is not None and size != (width, height):
            self._findings.add(rules.WRONG_SIZE, where, "{} x {} in {} x {}".format(width, height, *size))
        drawn = colours.astype(np.uint32) @ np.array([1, 1 << 8, 1 << 16], dtype=np.uint32)
        ids, areas = np.unique(drawn, return_counts=True)
        left = dict(zip(ids.tolist(), areas.tolist(), strict=True))
        left.pop(0, None)
        told: set[Any] = set()
        for segment in segments:
            identity = segment.get("id") if isinstance(segment, dict) else None
            if not isinstance(identity, int) or identity in told:
                self._findings.add(rules.DUPLICATE_ID, where, f"segment {identity!r}")
                continue
            told.add(identity)
            category_id = segment.get("category_id")
            category = self._categories.get(category_id) if is_id(category_id) else None
            if category is None:
                problem = f"segment {identity}, category_id {category_id!r:.60}"
                self._findings.add(rules.UNLISTED_CLASS, where, problem)
            if identity not in left:
                self._findings.add(rules.SEGMENTS_DIFFER, where, f"segment {identity} has no pixel")
                continue
            masks[category or "?"] += 1
            self._numbers(segment, drawn == identity, left.pop(identity), f"{where}, segment {identity}")
        for identity, pixels in left.items():
            self._findings.add(
                rules.SEGMENTS_DIFFER, where, f"{pixels} pixels of {identity}, which is not listed"
            )
        return masks

    def _numbers(self, segment: Mapping[str, Any], mask: NDArray[np.bool_], pixels: int, where: str) -> None:
        if segment.get("area") != pixels:
            self._findings.add(
                rules.WRONG_AREA, where, f"the file says {segment.get('area')}, the PNG has {pixels}"
            )
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        x, y = int(columns[0]), int(rows[0])
        bounds = [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1]
        numbers = four_numbers(segment.get("bbox"))
        if numbers is None or np.abs(np.subtract(numbers, bounds)).max() > 1:
            told = f"the file says {segment.get('bbox')}, the PNG has {bounds}"
            self._findings.add(rules.WRONG_BBOX, where, told)
