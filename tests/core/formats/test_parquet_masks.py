from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError, MissingExtraError
from boxmask_core.formats import open_dataset
from boxmask_core.formats.parquet_masks import ParquetMaskWriter, read_parquet_masks
from boxmask_core.instances import Flags, ImageRecord, Instance
from tests.core.formats.scenes import NAMES, cat_and_dog, masked

if TYPE_CHECKING:
    from pathlib import Path

    from tests.core.conftest import MakeMask


def rows(file: Path) -> Any:
    parquet = pytest.importorskip("pyarrow.parquet")
    return parquet.read_table(file).to_pylist()


def test_a_row_holds_an_image_and_its_masks(tmp_path: Path, make_mask: MakeMask) -> None:
    with ParquetMaskWriter(tmp_path, NAMES) as writer:
        writer.write(cat_and_dog(make_mask))
        writer.write(masked("b"))
    first, second = rows(tmp_path / "metadata.parquet")
    columns = second.pop("objects")
    assert second == {"file_name": "sub/a.jpg", "width": 20, "height": 12}
    assert first["file_name"] == "b.jpg"
    assert first["objects"] == {name: [] for name in columns}
    counts = columns.pop("counts")
    assert columns == {
        "id": ["17", "18"],
        "bbox": [[2, 3, 7, 7], [7, 8, 4, 2]],
        "category": ["cat", "dog"],
        "area": [40, 8],
        "size": [[12, 20]] * 2,
        "difficult": [False] * 2,
        "truncated": [True, False],
        "occluded": [False] * 2,
        "crowd": [False] * 2,
        "source_box": [[2, 3, 9, 10], [7, 8, 11, 10]],
        "source_id": ["17", "18"],
        "quality": [0.5, 0.5],
        "fallback": ["none", "none"],
    }
    assert all(isinstance(text, str) for text in counts)


def test_the_file_is_an_imagefolder_dataset(tmp_path: Path, make_mask: MakeMask) -> None:
    with ParquetMaskWriter(tmp_path, NAMES) as writer:
        writer.write(cat_and_dog(make_mask))
    (record,) = open_dataset(tmp_path)
    assert record == ImageRecord(
        "sub/a",
        tmp_path / "sub" / "a.jpg",
        (
            Instance(Box(2, 3, 9, 10), "cat", Flags(truncated=True), "17"),
            Instance(Box(7, 8, 11, 10), "dog", Flags(), "18"),
        ),
        declared_size=(20, 12),
    )


def test_many_images_are_written_in_the_order_of_their_keys(tmp_path: Path, make_mask: MakeMask) -> None:
    with ParquetMaskWriter(tmp_path, NAMES) as writer:
        for index in reversed(range(600)):
            writer.write(masked(f"{index:03}", make_mask([[1]])))
    assert [image.key for image in read_parquet_masks(tmp_path)] == [f"{index:03}" for index in range(600)]


def test_a_file_that_is_not_of_masks_is_refused_by_name(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"file_name": ["a.jpg"]}), tmp_path / "metadata.parquet")
    with pytest.raises(DatasetError, match=r"metadata\.parquet: row 'a\.jpg' cannot be read as masks"):
        list(read_parquet_masks(tmp_path))


def test_without_pyarrow_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"writing Parquet needs .* pip install 'boxmask\[parquet\]'"):
        ParquetMaskWriter(tmp_path / "out", NAMES)
    assert not (tmp_path / "out").exists()
