"""Annotation files in JSON: read whole, or told apart by how they begin."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal

from boxmask_core.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_HEAD_BYTES = 4096
_LABELME_KEY = re.compile(rb'"(shapes|imagePath|imageData)"\s*:')


def load_json(file: Path, *, without: Collection[str] = ()) -> Any:
    """Reads a JSON file.

    Args:
        file: The file, in UTF-8.
        without: Fields that are dropped while parsing, wherever they stand: masks and embedded images are by
            far the most of an annotation file, and a reader of boxes needs neither.

    Raises:
        DatasetError: It is missing or is not JSON.
    """

    def kept(fields: dict[str, Any]) -> dict[str, Any]:
        for name in without:
            fields.pop(name, None)
        return fields

    try:
        return json.loads(file.read_bytes(), object_hook=kept if without else None)
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(file, f"cannot be read as JSON: {error}") from error


def kind_of_json(file: Path) -> Literal["labelme", "list", "other"]:
    """Tells by the first bytes whether a file is LabelMe's, a list (Label Studio's), or something else."""
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError:
        return "other"
    if head.startswith(b"["):
        return "list"
    return "labelme" if head.startswith(b"{") and _LABELME_KEY.search(head) else "other"
