"""Dataset formats: boxes in, masks out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxmask_core.errors import DatasetError
from boxmask_core.formats.coco import CocoDataset
from boxmask_core.formats.coco_masks import CocoMaskWriter
from boxmask_core.formats.voc import VocDataset, VocOrigin
from boxmask_core.formats.voc_masks import VocMaskWriter
from boxmask_core.formats.yolo import YoloDataset
from boxmask_core.formats.yolo_masks import YoloSegWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from boxmask_core.formats.interface import DetectionDataset, MaskWriter

READERS: Mapping[str, type[VocDataset] | type[CocoDataset] | type[YoloDataset]] = {
    "voc": VocDataset,
    "coco": CocoDataset,
    "yolo": YoloDataset,
}
"""Format name to the reader of its boxes."""

WRITERS: Mapping[str, Callable[[Path, Sequence[str]], MaskWriter]] = {
    "voc": VocMaskWriter,
    "coco": CocoMaskWriter,
    "yolo": YoloSegWriter,
}
"""Format name to the writer of its masks."""


def open_dataset(
    path: Path,
    *,
    split: str | None = None,
    format: str | None = None,  # noqa: A002 - the word of the command line
    voc_origin: VocOrigin = "auto",
) -> DetectionDataset:
    """Opens a dataset of boxes.

    Args:
        path: Its folder, or its annotation or configuration file.
        split: The part to read, or None for every annotated image.
        format: "voc", "coco" or "yolo", or None to tell by the files.
        voc_origin: Where VOC's coordinates count from; see `VocDataset`.

    Raises:
        DatasetError: There is no dataset, or not of this format, or it has no such split.
    """
    name = format or detect_format(path)
    if name not in READERS:
        raise DatasetError(path, f"the format must be one of {sorted(READERS)}, but got {name!r}")
    reader = READERS[name]
    if reader is VocDataset:
        return VocDataset(path, split=split, origin=voc_origin)
    return reader(path, split=split)


def detect_format(path: Path) -> str:
    """Tells a dataset's format by its files.

    Args:
        path: Its folder, or its annotation or configuration file.

    Raises:
        DatasetError: No format fits, or several do.
    """
    if not path.exists():
        raise DatasetError(path, "there is no such file or folder")
    fitting = [name for name, reader in READERS.items() if reader.recognises(path)]
    if not fitting:
        expected = "expected Annotations/*.xml (VOC), annotations/*.json (COCO) or data.yaml (YOLO)"
        raise DatasetError(path, f"is no dataset of a known format: {expected}")
    if len(fitting) > 1:
        raise DatasetError(path, f"fits several formats, choose one (--from): {', '.join(fitting)}")
    return fitting[0]
