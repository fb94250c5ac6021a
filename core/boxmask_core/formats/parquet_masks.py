"""Parquet: one row per image with its masks as COCO's compressed RLE, written and read back.

The file is called as Hugging Face's ``imagefolder`` expects it, so that beside the images it is a dataset.
``objects`` holds lists side by side: ``bbox`` (of the mask, ``[x, y, width, height]``), ``category``,
``area``, ``size`` (``[height, width]``), ``counts``, the flags, and what `boxmask_core.formats.kept_masks`
names.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from boxmask_core.errors import DatasetError
from boxmask_core.formats.interface import PLAIN
from boxmask_core.formats.kept_masks import (
    MASK_ERRORS,
    checked_size,
    flag_fields,
    full_mask,
    kept_fields,
    mask_bounds,
    read_flags,
    restored_mask,
)
from boxmask_core.formats.keys import key_of
from boxmask_core.formats.one_file import OneFileWriter
from boxmask_core.formats.parquet_files import import_pyarrow, parquet_rows
from boxmask_core.instances import MaskedImage
from boxmask_core.rle import decode_rle, encode_rle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from boxmask_core.formats.interface import WriterOptions
    from boxmask_core.instances import InstanceMask

METADATA = "metadata.parquet"
_ROWS_AT_ONCE = 1024  # what a file says of each such group stays in memory until it is closed
_FLAGS = ("difficult", "truncated", "occluded", "crowd")


class ParquetMaskWriter(OneFileWriter):
    """Writes ``metadata.parquet``: one file, complete or absent, the same whatever the order of the images.

    Args:
        out: The folder to write to.
        class_names: Every class.
        options: What the user decided; overlaps are kept, and ``void_below`` is refused.

    Raises:
        DatasetError: Masks that are not trusted are to become void.
        MissingExtraError: pyarrow is not installed.
        OSError: The file system refuses.
    """

    def __init__(self, out: Path, class_names: Sequence[str], options: WriterOptions = PLAIN) -> None:
        self._arrow, self._parquet = import_pyarrow("writing Parquet")
        super().__init__(out, class_names, options, METADATA)

    def write(self, image: MaskedImage) -> tuple[()]:
        """Keeps the masks of one image.

        Raises:
            DatasetError: A class is not among the dataset's class names, or the key was written before.
            OSError: The file system refuses.
        """
        objects = [_fields(mask, image) for _, mask in self.filled(image)]
        names = self._columns()
        columns = {name: [entry[name] for entry in objects] for name in names}
        head = {"file_name": image.file_name, "width": image.width, "height": image.height}
        self._journal.add(image.key, {**head, "objects": columns})
        return ()

    def _assemble(self, file: BinaryIO) -> None:
        schema = self._schema()
        lines = self._journal.lines()
        with self._parquet.ParquetWriter(file, schema) as writer:
            while rows := list(islice(lines, _ROWS_AT_ONCE)):
                writer.write_table(self._arrow.Table.from_pylist(rows, schema=schema))

    def _columns(self) -> dict[str, Any]:
        arrow = self._arrow
        return {
            "id": arrow.string(),
            "bbox": arrow.list_(arrow.float64()),
            "category": arrow.string(),
            "area": arrow.int64(),
            "size": arrow.list_(arrow.int64()),
            "counts": arrow.string(),
            **dict.fromkeys(_FLAGS, arrow.bool_()),
            "source_box": arrow.list_(arrow.float64()),
            "source_id": arrow.string(),
            "quality": arrow.float64(),
            "fallback": arrow.string(),
        }

    def _schema(self) -> Any:
        arrow = self._arrow
        objects = arrow.struct({name: arrow.list_(kind) for name, kind in self._columns().items()})
        fields = {"file_name": arrow.string(), "width": arrow.int64(), "height": arrow.int64()}
        return arrow.schema({**fields, "objects": objects})


def read_parquet_masks(path: Path) -> Iterator[MaskedImage]:
    """Yields what `ParquetMaskWriter` wrote, in the file's order, a few hundred rows in memory at a time.

    Args:
        path: ``metadata.parquet``, or the folder with it.

    Raises:
        DatasetError: The file breaks the format.
        MissingExtraError: pyarrow is not installed.
    """
    file = path / METADATA if path.is_dir() else path
    for row in parquet_rows(file):
        try:
            name, size = row["file_name"], checked_size(row["width"], row["height"])
            if not isinstance(name, str):
                raise ValueError("no file_name")
            columns = row["objects"]
            entries = [
                dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
            ]
            masks = tuple(_read(entry, size) for entry in entries)
        except MASK_ERRORS as error:
            raise DatasetError(
                file, f"row {row.get('file_name')!r} cannot be read as masks: {error!r}"
            ) from error
        yield MaskedImage(key_of(name, file), name, *size, masks)


def _fields(mask: InstanceMask, image: MaskedImage) -> dict[str, Any]:
    bounds = mask_bounds(mask.proposal)
    kept = kept_fields(mask)
    return {
        "id": kept["source_id"],
        "bbox": [bounds.x0, bounds.y0, bounds.width, bounds.height],
        "category": mask.instance.class_name,
        "area": int(mask.proposal.mask.sum()),
        "size": [image.height, image.width],
        "counts": encode_rle(full_mask(mask.proposal, image.width, image.height)).decode("ascii"),
        **flag_fields(mask.instance.flags),
        **kept,
    }


def _read(entry: Mapping[str, Any], size: tuple[int, int]) -> InstanceMask:
    width, height = size
    pixels = decode_rle(entry["counts"].encode(), height, width)
    return restored_mask(pixels, 0, 0, size, entry["category"], read_flags(entry), entry)
