"""COCO's JSON of instances, boxes or masks: ours and any other's."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from boxmask_core.checks import rules
from boxmask_core.checks.references import identity_of, is_id
from boxmask_core.checks.shapes import (
    check_corners,
    check_numbers,
    check_ring,
    decoded_counts,
    filled_rings,
    ring_of,
    size_of,
)
from boxmask_core.errors import DatasetError, InvalidMaskError
from boxmask_core.formats.annotated_boxes import four_numbers
from boxmask_core.formats.coco_masks import INSTANCES
from boxmask_core.formats.json_items import ListStart, json_items
from boxmask_core.formats.keys import key_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from boxmask_core.checks.examination import Examination
    from boxmask_core.checks.references import Id

Size = tuple[int, int]


def coco_files(path: Path) -> list[Path]:
    """Returns the files of instances at a path: itself, ``instances.json``, or those in ``annotations``."""
    if path.is_file():
        return [path]
    if (path / INSTANCES).is_file():
        return [path / INSTANCES]
    found = [
        file for file in sorted((path / "annotations").glob("*.json")) if not file.name.startswith("panoptic")
    ]
    return [file for file in found if file.name.startswith("instances_")] or found


def check_coco(path: Path, examination: Examination) -> None:
    """Checks every file of instances at a path; memory grows with their number, not with their masks."""
    files = coco_files(path)
    if not files:
        examination.findings.add(rules.MISSING_FILE, str(path / INSTANCES))
    for file in files:
        _File(file, examination).check()


@dataclass(slots=True)
class _Image:
    """One entry of ``images``, and what annotations say of it."""

    name: str
    size: Size | None
    masks: Counter[str] = field(default_factory=Counter)
    boxes: int = 0


class _File:
    def __init__(self, file: Path, examination: Examination) -> None:
        self._file = file
        self._examination = examination
        self._findings = examination.findings
        self._images: dict[Id, _Image] = {}
        self._categories: dict[Id, str] = {}
        self._ids: set[Id] = set()
        self._shapes: set[bytes] = set()
        self._annotations = self._crowds = 0

    def check(self) -> None:
        try:
            self._read()
        except DatasetError as error:
            self._findings.add(rules.UNREADABLE_FILE, str(self._file), error.problem)
        if self._annotations > 1 and self._crowds == self._annotations:
            self._findings.add(rules.ALL_CROWD, str(self._file), f"{self._crowds} annotations")
        base = self._file.parent.parent if self._file.parent.name == "annotations" else self._file.parent
        split = self._file.stem.removeprefix("instances_")
        folders = [base / split, base / "images" / split, base / "images", base / "JPEGImages", base]
        for image in self._images.values():
            try:
                key = key_of(image.name, self._file)
            except DatasetError as error:
                self._findings.add(rules.MISSING_FIELD, f"image {image.name!r}", error.problem)
                continue
            places = [folder / image.name for folder in folders]
            self._examination.add_image(
                key, image.size, places, image.masks, boxes=image.boxes, where=image.name
            )

    def _read(self) -> None:
        """Reads the file once, and a second time where annotations come before what they refer to."""
        seen: set[str | None] = set()
        early = False
        for name, entry in json_items(self._file):
            seen.add(name)
            if entry is ListStart.LIST:
                continue
            if name == "images":
                self._image(entry)
            elif name == "categories":
                self._category(entry)
            elif name == "annotations":
                early = early or not seen >= {"images", "categories"}
                if not early:
                    self._annotation(entry)
        if early:
            for name, entry in json_items(self._file):
                if name == "annotations" and entry is not ListStart.LIST:
                    self._annotation(entry)
        if "images" not in seen:
            self._findings.add(rules.MISSING_FIELD, str(self._file), "images")

    def _image(self, entry: Any) -> None:
        identity = identity_of(entry)
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if identity is None or not isinstance(name, str):
            self._findings.add(
                rules.MISSING_FIELD, f"an image of {self._file}", f"id or file_name of {entry!r:.60}"
            )
            return
        if identity in self._images:
            self._findings.add(
                rules.DUPLICATE_ID, f"image {identity}", f"{self._images[identity].name}, {name}"
            )
            return
        width, height = entry.get("width"), entry.get("height")
        size = size_of(width, height)
        if size is None:
            self._findings.add(
                rules.MISSING_FIELD, name, f"width and height, but got {width!r} and {height!r}"
            )
        self._images[identity] = _Image(name, size)

    def _category(self, entry: Any) -> None:
        identity = identity_of(entry)
        if identity is None or not isinstance(entry.get("name"), str):
            self._findings.add(
                rules.MISSING_FIELD, f"a category of {self._file}", f"id or name of {entry!r:.60}"
            )
        elif identity in self._categories:
            self._findings.add(rules.DUPLICATE_ID, f"category {identity}", entry["name"])
        else:
            self._categories[identity] = entry["name"]

    def _annotation(self, entry: Any) -> None:
        self._annotations += 1
        if not isinstance(entry, dict):
            self._findings.add(rules.MISSING_FIELD, f"an annotation of {self._file}", f"{entry!r:.60}")
            return
        identity = identity_of(entry)
        where = f"annotation {identity}"
        if identity is None:
            where = f"annotation number {self._annotations}"
            self._findings.add(rules.MISSING_FIELD, where, "id")
        elif identity in self._ids:
            self._findings.add(rules.DUPLICATE_ID, where)
        else:
            self._ids.add(identity)
        self._crowds += entry.get("iscrowd") == 1
        image_id, category_id = entry.get("image_id"), entry.get("category_id")
        image = self._images.get(image_id) if is_id(image_id) else None
        category = self._categories.get(category_id) if is_id(category_id) else None
        if image is None:
            self._findings.add(rules.DANGLING_REFERENCE, where, f"image_id {image_id!r:.60}")
        if category is None:
            self._findings.add(rules.UNLISTED_CLASS, where, f"category_id {category_id!r:.60}")
        has_mask = self._shape(entry, image, where)
        if image is not None and has_mask:
            image.masks[category or "?"] += 1
        elif image is not None:
            image.boxes += 1

    def _shape(self, entry: Mapping[str, Any], image: _Image | None, where: str) -> bool:
        """Checks box and mask; says whether there is a mask."""
        size = image.size if image is not None else None
        shape, bbox = entry.get("segmentation"), entry.get("bbox")
        if image is not None:
            self._refuse_second(entry, shape or bbox, where)
        numbers = four_numbers(bbox)
        if numbers is None and (bbox is not None or not shape):
            self._findings.add(rules.MALFORMED_BOX, where, f"bbox {bbox!r:.60}")
        elif numbers is not None:
            x, y, width, height = numbers
            check_corners((x, y, x + width, y + height), size, self._findings, where)
        if not shape:
            return False
        if isinstance(shape, dict):
            self._runs(shape, size, entry, where)
        else:
            self._rings(shape, size, entry, where)
        return True

    def _runs(
        self, shape: Mapping[str, Any], size: Size | None, entry: Mapping[str, Any], where: str
    ) -> None:
        told = shape.get("size")
        own = size_of(told[1], told[0]) if isinstance(told, list) and len(told) == 2 else None
        if own is None:
            self._findings.add(rules.BAD_MASK, where, f"size must be [height, width], but got {told!r:.60}")
            return
        if size is not None and own != size:
            self._findings.add(rules.WRONG_SIZE, where, f"{own[0]} x {own[1]} in {size[0]} x {size[1]}")
            return
        try:
            mask = decoded_counts(shape.get("counts"), own)
        except InvalidMaskError as error:
            self._findings.add(rules.BAD_MASK, where, str(error))
            return
        check_numbers(mask, entry.get("area"), entry.get("bbox"), self._findings, where, exact=True)

    def _rings(self, shape: object, size: Size | None, entry: Mapping[str, Any], where: str) -> None:
        rings = (
            [ring_of(ring) if isinstance(ring, list) else None for ring in shape]
            if isinstance(shape, list)
            else []
        )
        points = [ring for ring in rings if ring is not None]
        if not points or len(points) < len(rings):
            self._findings.add(rules.BAD_POLYGON, where, "it must be lists of x, y, x, y, ...")
            return
        good = [check_ring(ring, size, self._findings, where) for ring in points]
        if all(good) and size is not None:
            mask = filled_rings(points, size)
            check_numbers(mask, entry.get("area"), entry.get("bbox"), self._findings, where, exact=False)

    def _refuse_second(self, entry: Mapping[str, Any], shape: object, where: str) -> None:
        content = json.dumps([entry.get("image_id"), entry.get("category_id"), shape], sort_keys=True)
        digest = hashlib.blake2b(content.encode(), digest_size=16).digest()
        if digest in self._shapes:
            self._findings.add(
                rules.DUPLICATE_MASK if entry.get("segmentation") else rules.DUPLICATE_BOX, where
            )
        self._shapes.add(digest)
