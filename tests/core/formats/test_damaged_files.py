"""What no tool writes, but a damaged disk or an enemy: it is refused by name, and takes no time or memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from boxmask_core.errors import DatasetError
from boxmask_core.formats import WRITERS, open_dataset
from boxmask_core.formats.annotated_boxes import is_turned
from boxmask_core.formats.class_names import written_class_names
from boxmask_core.formats.coco_masks import CocoMasks
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.keys import checked_key
from boxmask_core.formats.labelme_masks import read_labelme_masks
from boxmask_core.formats.labelstudio_masks import read_labelstudio_masks
from boxmask_core.formats.parquet_masks import read_parquet_masks
from boxmask_core.formats.yolo import YoloDataset
from tests.core.formats.scenes import NAMES, cat_and_dog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.core.conftest import MakeMask

# Ten aliases of ten aliases: 10 ** 20 texts if anybody writes it out.
ENDLESS = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10) if i else 'x'}]\n" for i in range(20))


def test_a_key_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"must have a name that a file can have, but got 'a\\ud800'"):
        checked_key("a\ud800", "list.json")
    assert checked_key("a\udcff", "list.json") == "a\udcff"  # a name that is no UTF-8, as Python has it


def test_a_line_of_open_images_that_is_no_csv_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "boxes.csv"
    file.write_bytes(b"ImageID,LabelName,XMin,XMax,YMin,YMax\na,cat,0\r.1,0.5,0,1\n")
    with pytest.raises(DatasetError, match=r"boxes\.csv: the line 'a,cat,0\\r\.1.*cannot be read as CSV"):
        open_dataset(file)


@pytest.mark.parametrize(
    "text",
    [
        "train: images\nnames: " + "[" * 1200,
        f"{ENDLESS}train: images\nnames: *a19\n",
        f"{ENDLESS}train: images\nnames: [cat]\npath: *a19\n",
    ],
    ids=["deep", "names", "path"],
)
def test_yaml_without_a_bottom_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DatasetError, match=r"cannot be read as YAML|must be a text|must be the name"):
        YoloDataset(tmp_path)


def test_names_that_the_system_refuses_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(f"train: {'x' * 300}\nnames: [cat]\n")
    with pytest.raises(DatasetError, match="none of its image folders exists"):
        YoloDataset(tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "boxes.csv").write_text(f"ImageID,LabelName,XMin,XMax,YMin,YMax\n{'x' * 300},cat,0,1,0,1\n")
    (record,) = open_dataset(tmp_path / "boxes.csv")
    assert isinstance(record, RecordError)


def test_a_turn_that_no_float_holds_is_a_turn() -> None:
    assert is_turned(10**400)


def test_a_row_of_masks_without_a_file_name_is_refused(tmp_path: Path, make_mask: MakeMask) -> None:
    with WRITERS["parquet"](tmp_path, NAMES) as writer:
        writer.write(cat_and_dog(make_mask))
    table = parquet.read_table(tmp_path / "metadata.parquet")
    rows = [{**row, "file_name": None} for row in table.to_pylist()]
    parquet.write_table(table.from_pylist(rows, schema=table.schema), tmp_path / "metadata.parquet")
    with pytest.raises(DatasetError, match="row None cannot be read as masks"):
        list(read_parquet_masks(tmp_path))


def test_class_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "class_names.txt").write_bytes(b"background\n\xff\n")
    with pytest.raises(DatasetError, match=r"class_names\.txt: cannot be read"):
        written_class_names(tmp_path)


def _coco(folder: Path) -> None:
    masks = CocoMasks(folder)
    for image in masks.images:
        masks.masks(image)


@pytest.mark.parametrize(
    ("target", "name", "place", "value", "read"),
    [
        ("coco-polygons", "instances.json", ("annotations", 0, "segmentation", 0, 0), 10**400, _coco),
        ("coco", "instances.json", ("annotations", 0, "quality"), 1.5, _coco),
        ("coco", "instances.json", ("annotations", 0, "quality"), float("nan"), _coco),
        ("coco", "instances.json", ("categories", 0, "name"), ["cat"], _coco),
        ("coco", "instances.json", ("images", 0, "file_name"), 7, _coco),
        ("coco-polygons", "instances.json", ("images", 0, "width"), 1 << 40, _coco),
        ("coco-polygons", "instances.json", ("images", 0, "height"), 2.5, _coco),
        ("labelme", "labelme/sub/a.json", ("imageWidth",), float("inf"), read_labelme_masks),
        ("labelme-polygons", "labelme/sub/a.json", ("imageHeight",), 1 << 40, read_labelme_masks),
        ("labelme", "labelme/sub/a.json", ("shapes", 0, "label"), None, read_labelme_masks),
        ("labelstudio", "tasks.json", (0, "meta", "width"), float("inf"), read_labelstudio_masks),
        ("labelstudio-polygons", "tasks.json", (0, "meta", "width"), 1 << 40, read_labelstudio_masks),
    ],
)
def test_a_value_that_no_mask_can_have_is_refused_by_name(
    tmp_path: Path,
    make_mask: MakeMask,
    target: str,
    name: str,
    place: tuple[Any, ...],
    value: Any,
    read: Callable[[Path], Any],
) -> None:
    with WRITERS[target](tmp_path, NAMES) as writer:
        writer.write(cat_and_dog(make_mask))
    file = tmp_path / name
    content = json.loads(file.read_text())
    inner = content
    for step in place[:-1]:
        inner = inner[step]
    assert place[-1] in inner or isinstance(inner, list)
    inner[place[-1]] = value
    file.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=file.name):
        list(read(tmp_path) or ())


def test_a_text_of_parquet_that_is_no_text_is_refused(tmp_path: Path) -> None:
    offsets = np.array([0, 1], dtype=np.int32)
    name = pa.StringArray.from_buffers(1, pa.py_buffer(offsets), pa.py_buffer(b"\xff"))
    parquet.write_table(pa.table({"file_name": name}), tmp_path / "metadata.parquet")
    with pytest.raises(DatasetError, match=r"metadata\.parquet: cannot be read as Parquet"):
        list(read_parquet_masks(tmp_path))


@pytest.mark.parametrize("text", ["7", "{}", "null"])
def test_label_studio_without_a_list_of_tasks_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "tasks.json").write_text(text)
    with pytest.raises(DatasetError, match=r"tasks\.json: must hold a list of tasks"):
        list(read_labelstudio_masks(tmp_path))


def test_json_without_a_bottom_holds_no_masks(tmp_path: Path) -> None:
    (tmp_path / "instances.json").write_text("[" * 100_000)
    with pytest.raises(DatasetError, match="cannot be read as COCO masks"):
        CocoMasks(tmp_path)
