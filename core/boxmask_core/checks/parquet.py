"""Parquet with one row per image and its masks as run lengths."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from boxmask_core.checks import rules
from boxmask_core.checks.shapes import check_numbers, decoded_counts, size_of
from boxmask_core.errors import DatasetError, InvalidMaskError
from boxmask_core.formats.keys import key_of
from boxmask_core.formats.parquet_files import parquet_rows
from boxmask_core.formats.parquet_masks import METADATA

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from boxmask_core.checks.examination import Examination
    from boxmask_core.checks.findings import Findings

Size = tuple[int, int]


def check_parquet(path: Path, examination: Examination) -> None:
    """Checks ``metadata.parquet``, a few hundred rows in memory at a time.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    file = path / METADATA if path.is_dir() else path
    if not file.is_file():
        examination.findings.add(rules.MISSING_FILE, str(file))
        return
    try:
        for number, row in enumerate(parquet_rows(file)):
            _check_row(row, number, file, examination)
    except DatasetError as error:
        examination.findings.add(rules.UNREADABLE_FILE, str(file), error.problem)


def has_run_lengths(file: Path) -> bool:
    """Says whether a Parquet file holds masks; with boxes alone it is a dataset of Hugging Face's.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        first = next(parquet_rows(file), {})
    except DatasetError:
        return False
    objects = first.get("objects")
    return isinstance(objects, dict) and "counts" in objects


def _check_row(row: Mapping[str, Any], number: int, file: Path, examination: Examination) -> None:
    findings = examination.findings
    name = row.get("file_name")
    if not isinstance(name, str):
        findings.add(rules.MISSING_FIELD, f"row {number}", "file_name")
        return
    width, height = row.get("width"), row.get("height")
    size = size_of(width, height)
    if size is None:
        findings.add(rules.MISSING_FIELD, name, "width and height")
    columns = row.get("objects") or {}
    lengths = {field: len(values) for field, values in columns.items() if isinstance(values, list)}
    masks: Counter[str] = Counter()
    if len(set(lengths.values())) > 1 or not {"counts", "size", "category"} <= lengths.keys():
        findings.add(rules.MISSING_FIELD, name, f"lists of equal length in objects, but got {lengths}")
    else:
        for place in range(lengths["counts"]):
            entry = {field: columns[field][place] for field in lengths}
            masks[str(entry["category"])] += 1
            _check_mask(entry, size, findings, f"{name}, object {place}")
    try:
        key = key_of(name, file)
    except DatasetError as error:
        findings.add(rules.MISSING_FIELD, f"row {number}", error.problem)
        return
    places = [file.parent / name, file.parent / "images" / name]
    examination.add_image(key, size, places, masks, where=name)


def _check_mask(entry: Mapping[str, Any], size: Size | None, findings: Findings, where: str) -> None:
    told = entry["size"]
    own = size_of(told[1], told[0]) if isinstance(told, list) and len(told) == 2 else None
    if own is None:
        findings.add(rules.BAD_MASK, where, f"size must be [height, width], but got {told!r:.60}")
        return
    if size is not None and own != size:
        findings.add(rules.WRONG_SIZE, where, "{} x {} in {} x {}".format(*own, *size))
        return
    try:
        mask = decoded_counts(entry["counts"], own)
    except InvalidMaskError as error:
        findings.add(rules.BAD_MASK, where, str(error))
        return
    check_numbers(mask, entry.get("area"), entry.get("bbox"), findings, where, exact=True)
