"""Formats that boxmask does not read itself, through panlabel: an optional part of the distribution.

panlabel is a program that turns some forty box formats into COCO. It reads a dataset as a whole, in a process
of its own, and looks at the images for their sizes. It passes on boxes, classes and crowds, no other flags.
"""

from __future__ import annotations

import subprocess
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from boxmask_core.errors import DatasetError, MissingExtraError
from boxmask_core.formats.annotated_boxes import refuse_split
from boxmask_core.formats.coco import CocoDataset
from boxmask_core.formats.interface import RecordError
from boxmask_core.locations import RemotePath

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from boxmask_core.instances import ImageRecord

PREFIX: Final = "panlabel:"
"""In front of the name that panlabel has for a format."""

_OURS: Final[Mapping[str, str]] = {
    "coco": "coco",
    "cvat": "cvat",
    "hf": "imagefolder",
    "kitti": "kitti",
    "label-studio": "labelstudio",
    "labelme": "labelme",
    "openimages": "openimages",
    "voc": "voc",
    "yolo": "yolo",
}
"""What panlabel reads and boxmask too, with more care: flags, VOC's counting from 1, images one at a time."""

_WARNINGS_TOLD: Final = 3


class PanlabelDataset:
    """The boxes of a dataset in a format of panlabel's.

    Args:
        path: The file or folder, as panlabel expects it.
        source: Panlabel's name of the format, or "auto".
        split: Must be None.
        images: The folder that image names are relative to; None for the dataset's own, or ``images`` in it.

    Raises:
        DatasetError: panlabel cannot read it, or boxmask reads the format itself.
        MissingExtraError: panlabel is not installed.
    """

    def __init__(
        self, path: Path, source: str, *, split: str | None = None, images: Path | None = None
    ) -> None:
        refuse_split(path, split)
        if source in _OURS:
            raise DatasetError(path, f"boxmask reads {source} itself; pass --from {_OURS[source]}")
        if isinstance(path, RemotePath):
            raise DatasetError(path, "panlabel reads no URLs; copy the dataset to this machine")
        self._path = path
        with TemporaryDirectory(prefix="boxmask-") as folder:
            file = Path(folder) / "boxes.json"
            warnings = _convert(path, source, file)
            self._dataset = CocoDataset(file, images=images or (path if path.is_dir() else path.parent))
            notes = [note.replace(str(file), str(path)) for note in self._dataset.notes]
        self.class_names = self._dataset.class_names
        self.image_root = self._dataset.image_root
        read = f"read through panlabel as {source}: boxes, classes and crowds, no other flags"
        self.notes = (read, *_told(warnings), *notes)

    def __len__(self) -> int:
        return len(self._dataset)

    def __iter__(self) -> Iterator[ImageRecord | RecordError]:
        for record in self._dataset:
            if isinstance(record, RecordError):
                yield RecordError(record.key, self._path, record.problem)
            else:
                yield record


def _convert(path: Path, source: str, file: Path) -> list[str]:
    """Writes the dataset as COCO; returns what panlabel warned of."""
    # Unchecked, so that one bad box is reported as such, and not the whole dataset refused.
    options = ["--no-validate", "--allow-lossy", "--report", "json"]
    command = [_program(source), "convert", "--from", source, "--to", "coco", *options]
    done = subprocess.run(
        [*command, "--input", str(path), "--output", str(file)],
        capture_output=True,
        check=False,
        encoding="utf-8",
        errors="replace",
    )
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if done.returncode != 0 or not file.is_file():
        reason = next((line for line in said if line.lower().startswith("error")), "no reason was given")
        raise DatasetError(path, f"panlabel cannot read it as {source}: {reason}")
    return [line.removeprefix("panlabel: warning: ") for line in dict.fromkeys(said)]


def _program(source: str) -> str:
    try:
        return str(import_module("panlabel").find_panlabel_bin())
    except (ImportError, FileNotFoundError) as error:
        raise MissingExtraError(f"reading {PREFIX}{source}", "panlabel", "panlabel") from error


def _told(warnings: list[str]) -> list[str]:
    more = len(warnings) - _WARNINGS_TOLD
    told = [f"warning: panlabel: {warning}" for warning in warnings[:_WARNINGS_TOLD]]
    return [*told, f"warning: panlabel: and {more} more warnings"] if more > 0 else told
