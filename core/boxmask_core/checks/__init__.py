"""Whether a dataset is what its format says: of boxes or of masks, ours or another's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxmask_core.checks.coco import check_coco, coco_files
from boxmask_core.checks.conversion import target_of
from boxmask_core.checks.cvat import check_cvat
from boxmask_core.checks.findings import Findings
from boxmask_core.checks.labelme import check_labelme
from boxmask_core.checks.labelstudio import check_labelstudio
from boxmask_core.checks.panoptic import check_panoptic, panoptic_files
from boxmask_core.checks.parquet import check_parquet, has_run_lengths
from boxmask_core.checks.semantic import check_cityscapes, check_semantic
from boxmask_core.checks.voc import CLASSES, check_voc
from boxmask_core.checks.yolo import check_yolo
from boxmask_core.checks.yolo_config import read_config
from boxmask_core.errors import DatasetError
from boxmask_core.formats.cityscapes_masks import FOLDER as CITYSCAPES
from boxmask_core.formats.cvat import CvatDataset
from boxmask_core.formats.json_files import kind_of_json
from boxmask_core.formats.labelme import LabelmeDataset
from boxmask_core.formats.labelme_masks import FOLDER as LABELME
from boxmask_core.formats.labelstudio import LabelStudioDataset
from boxmask_core.formats.labelstudio_masks import TASKS
from boxmask_core.formats.parquet_masks import METADATA
from boxmask_core.formats.yolo import YoloDataset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from boxmask_core.checks.examination import Examination

CHECKS: Mapping[str, Callable[[Path, Examination], None]] = {
    "voc": check_voc,
    "coco": check_coco,
    "coco-panoptic": check_panoptic,
    "yolo": check_yolo,
    "labelme": check_labelme,
    "cvat": check_cvat,
    "labelstudio": check_labelstudio,
    "semantic": check_semantic,
    "cityscapes": check_cityscapes,
    "parquet": check_parquet,
}
"""Format to the function that checks its files; a writer's variants (``coco-polygons``) go by the format."""

COVER_BOXES = frozenset({"coco", "yolo", "labelme", "cvat", "labelstudio"})
"""Formats whose check looks at boxes too: of the others, a dataset of boxes is read by its reader."""


def checked_format(name: str) -> str | None:
    """Returns the format under which a reader's or a writer's is checked, or None where there is no check.

    Args:
        name: One of `boxmask_core.formats.READERS` or `boxmask_core.formats.WRITERS`.
    """
    return name if name in CHECKS else next((each for each in CHECKS if name.startswith(f"{each}-")), None)


def recognised_checks(path: Path) -> list[str]:
    """Returns the formats whose files lie at a path; that of a finished conversion alone, where it is one.

    Args:
        path: A folder or a file.

    Raises:
        DatasetError: There is nothing.
    """
    if not path.exists():
        raise DatasetError(path, "there is no such file or folder")
    target = target_of(path)
    if target is not None and (name := checked_format(target)) is not None:
        return [name]
    return [name for name, recognises in _RECOGNISERS.items() if recognises(path)]


def _is_coco(path: Path) -> bool:
    files = coco_files(path)
    is_json = all(file.suffix.lower() == ".json" for file in files)
    return is_json and any(kind_of_json(file) == "other" and not _is_panoptic(file) for file in files)


def _is_panoptic(path: Path) -> bool:
    if path.is_file():
        return path.name.startswith("panoptic") and path.suffix.lower() == ".json"
    return bool(panoptic_files(path))


def _is_yolo(path: Path) -> bool:
    return YoloDataset.recognises(path) and not _is_semantic(path)


def _is_semantic(path: Path) -> bool:
    if not YoloDataset.recognises(path):
        return False
    return "masks_dir" in (read_config(path, Findings()) or {})


def _is_labelme(path: Path) -> bool:
    return (path / LABELME).is_dir() or LabelmeDataset.recognises(path)


def _is_labelstudio(path: Path) -> bool:
    return (path / TASKS).is_file() or LabelStudioDataset.recognises(path)


def _is_cityscapes(path: Path) -> bool:
    return (path / CITYSCAPES).is_dir()


def _is_parquet(path: Path) -> bool:
    file = path / METADATA if path.is_dir() else path
    if file.suffix.lower() != ".parquet" or not file.is_file():
        return False
    return has_run_lengths(file)


_RECOGNISERS: Mapping[str, Callable[[Path], bool]] = {
    "voc": lambda path: (path / CLASSES).is_dir(),
    "coco": _is_coco,
    "coco-panoptic": _is_panoptic,
    "yolo": _is_yolo,
    "labelme": _is_labelme,
    "cvat": CvatDataset.recognises,
    "labelstudio": _is_labelstudio,
    "semantic": _is_semantic,
    "cityscapes": _is_cityscapes,
    "parquet": _is_parquet,
}
