from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from boxmask_core.errors import DatasetError
from boxmask_core.formats import detect_format, open_dataset
from boxmask_core.formats.keys import checked_key, key_of

if TYPE_CHECKING:
    from pathlib import Path


def make(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("{}")


@pytest.mark.parametrize(
    ("files", "opened", "expected"),
    [
        (["Annotations/a.xml"], ".", "voc"),
        (["VOCdevkit/VOC2012/Annotations/a.xml"], ".", "voc"),
        (["annotations/instances_val.json"], ".", "coco"),
        (["boxes.json"], "boxes.json", "coco"),
        (["data.yaml"], ".", "yolo"),
        (["set.yml"], "set.yml", "yolo"),
    ],
)
def test_the_files_tell_the_format(tmp_path: Path, files: list[str], opened: str, expected: str) -> None:
    make(tmp_path, *files)
    assert detect_format(tmp_path / opened) == expected


def test_no_format_and_several_formats_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file or folder"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="no dataset of a known format"):
        open_dataset(tmp_path)
    make(tmp_path, "Annotations/a.xml", "data.yaml")
    with pytest.raises(DatasetError, match=r"choose one \(--from\): voc, yolo"):
        open_dataset(tmp_path)
    assert len(open_dataset(tmp_path, format="voc")) == 1
    with pytest.raises(DatasetError, match=r"\['coco', 'voc', 'yolo'\], but got 'kitti'"):
        open_dataset(tmp_path, format="kitti")


def test_a_key_is_the_file_name_without_its_last_suffix() -> None:
    assert key_of("sub/a.b.jpg", "") == "sub/a.b"
    assert checked_key("sub/a.b", "") == "sub/a.b"


@pytest.mark.parametrize("name", ["", "/a.jpg", "../a.jpg", "sub/../../a.jpg", ".", "a\0.jpg"])
def test_a_key_never_leads_out_of_its_folder(name: str) -> None:
    with pytest.raises(DatasetError, match=r"list\.txt: an image must lie inside the image folder"):
        key_of(name, "list.txt")
