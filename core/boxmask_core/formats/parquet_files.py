"""Parquet, through pyarrow: an optional part of the distribution, imported when a Parquet file is met."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from boxmask_core.errors import DatasetError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_ROWS_AT_ONCE = 256


def import_pyarrow(what: str) -> tuple[Any, Any]:
    """Imports ``pyarrow`` and ``pyarrow.parquet``.

    Args:
        what: Who needs them, for the message.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError(what, "pyarrow", "parquet") from error


def parquet_rows(file: Path, columns: Collection[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yields the rows of a Parquet file, a few hundred in memory at a time.

    Args:
        file: The file.
        columns: The columns to read, those of them that there are; None for all. Datasets may hold whole
            images in the others.

    Raises:
        MissingExtraError: pyarrow is not installed.
        DatasetError: The file cannot be read as Parquet.
    """
    pyarrow, parquet = import_pyarrow(f"reading {file.name}")
    try:
        with parquet.ParquetFile(file, pre_buffer=False) as opened:
            known = opened.schema_arrow.names
            wanted = known if columns is None else [name for name in known if name in columns]
            for batch in opened.iter_batches(batch_size=_ROWS_AT_ONCE, columns=wanted, use_threads=False):
                yield from batch.to_pylist()
    except (OSError, ValueError, pyarrow.ArrowException) as error:  # a text may be no UTF-8
        raise DatasetError(file, f"cannot be read as Parquet: {error}") from error


def parquet_metadata(file: Path) -> dict[bytes, bytes]:
    """Returns the key-value metadata of a Parquet file's schema.

    Raises:
        MissingExtraError: pyarrow is not installed.
        DatasetError: The file cannot be read as Parquet.
    """
    pyarrow, parquet = import_pyarrow(f"reading {file.name}")
    try:
        return dict(parquet.read_schema(file).metadata or {})
    except (OSError, pyarrow.ArrowException) as error:
        raise DatasetError(file, f"cannot be read as Parquet: {error}") from error
