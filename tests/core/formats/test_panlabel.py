from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError, MissingExtraError
from boxmask_core.formats import open_dataset
from boxmask_core.instances import ImageRecord
from boxmask_core.locations import location

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_core.formats.interface import DetectionDataset


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (400, 300)).save(path)


def create_ml(folder: Path, **boxes: list[tuple[str, float, float, float, float]]) -> Path:
    """Writes Apple's CreateML: x and y are of the centre."""
    content: list[dict[str, Any]] = []
    for name, entries in boxes.items():
        fields = ("x", "y", "width", "height")
        found = [
            {"label": entry[0], "coordinates": dict(zip(fields, entry[1:], strict=True))} for entry in entries
        ]
        content.append({"image": f"{name}.jpg", "annotations": found})
    file = folder / "annotations.json"
    file.write_text(json.dumps(content))
    return file


def records(dataset: DetectionDataset) -> list[ImageRecord]:
    found = list(dataset)
    assert all(isinstance(entry, ImageRecord) for entry in found)
    return [entry for entry in found if isinstance(entry, ImageRecord)]


def test_a_format_that_only_panlabel_reads(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    picture(tmp_path / "b.jpg")
    file = create_ml(tmp_path, b=[("cat", 50, 40, 20, 10), ("dog", 100.5, 60, 7, 8)], a=[])
    dataset = open_dataset(file, format="panlabel:create-ml")
    assert dataset.class_names == ("cat", "dog")
    assert dataset.image_root == tmp_path
    assert dataset.notes == ("read through panlabel as create-ml: boxes, classes and crowds, no other flags",)
    first, second = records(dataset)
    assert len(dataset) == 2
    assert (first.key, first.instances, first.declared_size) == ("a", (), (400, 300))
    assert (second.key, second.path) == ("b", tmp_path / "b.jpg")
    assert [(instance.class_name, instance.box) for instance in second.instances] == [
        ("cat", Box(40, 35, 60, 45)),
        ("dog", Box(97, 56, 104, 64)),
    ]


def test_a_bad_box_is_an_issue_and_the_others_are_kept(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    file = create_ml(tmp_path, a=[("cat", 50, 40, -20, 10), ("cat", 50, 40, 20, 10)])
    (record,) = records(open_dataset(file, format="panlabel:create-ml"))
    assert [instance.box for instance in record.instances] == [Box(40, 35, 60, 45)]
    assert [issue.problem for issue in record.issues] == [
        "invalid box: a box must have x0 < x1 and y0 < y1, but got x0=60 y0=35 x1=40 y1=45"
    ]


def test_images_lie_beside_the_file_or_in_images_or_where_one_says(tmp_path: Path) -> None:
    file = create_ml(tmp_path, a=[("cat", 50, 40, 20, 10)])
    picture(tmp_path / "images" / "a.jpg")
    picture(tmp_path / "elsewhere" / "a.jpg")
    (beside,) = records(open_dataset(file, format="panlabel:create-ml"))
    assert (beside.key, beside.path) == ("a", tmp_path / "images" / "a.jpg")
    (told,) = records(open_dataset(file, format="panlabel:create-ml", images=str(tmp_path / "elsewhere")))
    assert (told.key, told.path) == ("a", tmp_path / "elsewhere" / "a.jpg")


def test_what_panlabel_leaves_out_is_told(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(5)]
    line = {"shape_attributes": {"name": "polyline", "all_points_x": [1, 5], "all_points_y": [2, 8]}}
    content = {
        name: {"filename": name, "size": 1, "regions": [line], "file_attributes": {}} for name in names
    }
    (tmp_path / "via.json").write_text(json.dumps(content))
    for name in names:
        picture(tmp_path / name)
    _, *warnings = open_dataset(tmp_path / "via.json", format="panlabel:via").notes
    assert len(warnings) == 4
    assert warnings[0].startswith("warning: panlabel: skipping non-rect shape 'polyline' in '0.jpg'")
    assert warnings[-1] == "warning: panlabel: and 2 more warnings"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("create-ml", "panlabel cannot read it as create-ml: Error: Failed to parse"),
        ("tarot", "panlabel cannot read it as tarot: error: invalid value 'tarot'"),
        ("voc", "boxmask reads voc itself; pass --from voc"),
        ("label-studio", "boxmask reads label-studio itself; pass --from labelstudio"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(tmp_path: Path, source: str, problem: str) -> None:
    file = tmp_path / "broken.json"
    file.write_text("{")
    with pytest.raises(DatasetError) as refused:
        open_dataset(file, format=f"panlabel:{source}")
    assert refused.value.where == file
    assert refused.value.problem.startswith(problem)


def test_a_url_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="copy the dataset to this machine"):
        open_dataset(location("s3://bucket/via.json"), format="panlabel:via")
    with pytest.raises(DatasetError, match="has no splits"):
        open_dataset(tmp_path, format="panlabel:via", split="val")


def test_without_panlabel_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "panlabel", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'boxmask\[panlabel\]'"):
        open_dataset(tmp_path, format="panlabel:via")
