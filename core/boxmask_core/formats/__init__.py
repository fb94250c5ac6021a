"""Dataset formats: boxes in, masks out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from boxmask_core.errors import DatasetError
from boxmask_core.formats.cityscapes_masks import CityscapesWriter
from boxmask_core.formats.coco import CocoDataset
from boxmask_core.formats.coco_masks import CocoMaskWriter
from boxmask_core.formats.cvat import CvatDataset
from boxmask_core.formats.cvat_masks import CvatMaskWriter
from boxmask_core.formats.imagefolder import ImageFolderDataset
from boxmask_core.formats.interface import PLAIN
from boxmask_core.formats.kitti import KittiDataset
from boxmask_core.formats.labelme import LabelmeDataset
from boxmask_core.formats.labelme_masks import LabelmeMaskWriter
from boxmask_core.formats.labelstudio import LabelStudioDataset
from boxmask_core.formats.labelstudio_masks import LabelStudioMaskWriter
from boxmask_core.formats.openimages import OpenImagesDataset
from boxmask_core.formats.panlabel import PREFIX, PanlabelDataset
from boxmask_core.formats.panoptic_masks import PanopticWriter
from boxmask_core.formats.parquet_masks import ParquetMaskWriter
from boxmask_core.formats.remote_dataset import RemoteDataset
from boxmask_core.formats.semantic_masks import SemanticWriter
from boxmask_core.formats.voc import VocDataset, VocOrigin
from boxmask_core.formats.voc_masks import VocMaskWriter
from boxmask_core.formats.yolo import YoloDataset
from boxmask_core.formats.yolo_masks import YoloSegWriter
from boxmask_core.locations import RemotePath, location

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from boxmask_core.formats.interface import DetectionDataset, MaskWriter, WriterOptions


class Reader(Protocol):
    """The class that reads a format's boxes."""

    def __call__(
        self, path: Path, *, split: str | None = None, images: Path | None = None
    ) -> DetectionDataset:
        """Opens a dataset.

        Args:
            path: Its folder, or its annotation or configuration file.
            split: The part to read, or None for every annotated image.
            images: Where the images lie, if that is not where the dataset says.

        Raises:
            DatasetError: There is no dataset, or not of this format, or it has no such split.
        """

    def recognises(self, path: Path) -> bool:
        """Says whether the files at ``path`` look like this format."""


class Writer(Protocol):
    """The class that writes a format's masks."""

    def __call__(self, out: Path, class_names: Sequence[str], options: WriterOptions = PLAIN) -> MaskWriter:
        """Opens a writer.

        Args:
            out: The folder to write to.
            class_names: Every class of the dataset.
            options: What the user decided.

        Raises:
            DatasetError: The format cannot hold so many classes, or is asked for void that it does not know.
            InvalidRequestError: The priority names a class that there is not.
            MissingExtraError: The format needs an optional part of the distribution.
            OSError: The file system refuses.
        """


READERS: Mapping[str, Reader] = {
    "voc": VocDataset,
    "coco": CocoDataset,
    "yolo": YoloDataset,
    "labelme": LabelmeDataset,
    "cvat": CvatDataset,
    "labelstudio": LabelStudioDataset,
    "kitti": KittiDataset,
    "openimages": OpenImagesDataset,
    "imagefolder": ImageFolderDataset,
}
"""Format name to the reader of its boxes."""

WRITERS: Mapping[str, Writer] = {
    "voc": VocMaskWriter,
    "coco": CocoMaskWriter,
    "coco-polygons": partial(CocoMaskWriter, shapes="polygons"),
    "coco-panoptic": PanopticWriter,
    "yolo": YoloSegWriter,
    "yolo-split": partial(YoloSegWriter, parts="split"),
    "yolo-largest": partial(YoloSegWriter, parts="largest"),
    "labelme": LabelmeMaskWriter,
    "labelme-polygons": partial(LabelmeMaskWriter, shapes="polygon"),
    "cvat": CvatMaskWriter,
    "labelstudio": LabelStudioMaskWriter,
    "labelstudio-bitmask": partial(LabelStudioMaskWriter, shapes="bitmask"),
    "labelstudio-polygons": partial(LabelStudioMaskWriter, shapes="polygon"),
    "semantic": SemanticWriter,
    "cityscapes": CityscapesWriter,
    "parquet": ParquetMaskWriter,
}
"""Format name to the writer of its masks."""


def open_dataset(
    path: Path,
    *,
    split: str | None = None,
    format: str | None = None,  # noqa: A002 - the word of the command line
    voc_origin: VocOrigin = "auto",
    images: str | None = None,
) -> DetectionDataset:
    """Opens a dataset of boxes.

    Args:
        path: Its folder, or its annotation or configuration file; a path, or what `location` makes of a URL.
        split: The part to read, or None for every annotated image.
        format: One of `READERS`, "panlabel:" and panlabel's name of a format, or None to tell by the files.
        voc_origin: Where VOC's coordinates count from; see `VocDataset`.
        images: Where the images lie, a folder or a URL, if that is not where the dataset says. Keys of images
            do not change by it.

    Raises:
        DatasetError: There is no dataset, or not of this format, or it has no such split; or it cannot be
            reached.
        MissingExtraError: The format or the URL needs an optional part of the distribution.
    """
    of_format = format or ""
    folder = None if images is None else location(images)
    if of_format.startswith(PREFIX):
        return PanlabelDataset(path, of_format.removeprefix(PREFIX), split=split, images=folder)
    if of_format and of_format not in READERS:
        problem = f"the format must be one of {sorted(READERS)}, but got {of_format!r}"
        raise DatasetError(path, f"{problem}; panlabel reads others: {PREFIX}NAME")

    def opened(here: Path) -> DetectionDataset:
        name = of_format or detect_format(here)
        if name == "voc":
            return VocDataset(here, split=split, origin=voc_origin, images=folder)
        return READERS[name](here, split=split, images=folder)

    return RemoteDataset(path, opened, folder) if isinstance(path, RemotePath) else opened(path)


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
        expected = (
            "expected Annotations/*.xml (VOC), annotations/*.json (COCO), data.yaml (YOLO), "
            "KEY.json (LabelMe), annotations.xml (CVAT), a JSON list (Label Studio), label_2/*.txt (KITTI), "
            "a CSV of boxes (Open Images) or metadata.jsonl, .csv or .parquet (imagefolder)"
        )
        raise DatasetError(path, f"is no dataset of a known format: {expected}")
    if len(fitting) > 1:
        raise DatasetError(path, f"fits several formats, choose one (--from): {', '.join(fitting)}")
    return fitting[0]
