from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError
from boxmask_core.formats import open_dataset
from boxmask_core.formats.cvat import CvatDataset
from boxmask_core.formats.interface import RecordError
from boxmask_core.instances import BoxIssue, Flags, ImageRecord, Instance

if TYPE_CHECKING:
    from pathlib import Path

META = """<meta><task><labels>
<label><name>dog</name><type>any</type></label>
<label><name>nose</name><parent>face</parent></label>
</labels></task></meta>"""


UPRIGHT = ", and boxes must be upright; draw it upright"


def save(folder: Path, body: str, meta: str = META) -> Path:
    file = folder / "annotations.xml"
    text = f"<annotations><version>1.1</version>{meta}{body}</annotations>"
    file.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n{text}', encoding="utf-8")
    return file


def box(label: str = "cat", corners: str = 'xtl="1.5" ytl="2" xbr="3" ybr="4.25"', **more: str) -> str:
    words = " ".join(f'{name}="{value}"' for name, value in more.items())
    return f'<box label="{label}" occluded="0" {corners} z_order="0" {words}></box>'


def test_boxes_are_read_with_their_flags(tmp_path: Path) -> None:
    noted = '<attribute name="difficult">true</attribute><attribute name="colour">red</attribute>'
    (tmp_path / "images" / "sub").mkdir(parents=True)
    (tmp_path / "images" / "sub" / "ä.jpg").touch()
    save(
        tmp_path,
        f"""<image id="7" name="sub/ä.jpg" width="64" height="48">
        {box().replace("></box>", f">{noted}</box>").replace('occluded="0"', 'occluded="1"')}
        <polygon label="dog" points="0,0;1,1;2,0"/><mask label="dog" rle="1"/>
        {box("dog", rotation="360.0")}</image>
        <image id="9" name="b.png"/>""",
    )
    dataset = open_dataset(tmp_path)
    assert isinstance(dataset, CvatDataset)
    assert dataset.class_names == ("dog", "cat")
    assert dataset.image_root == tmp_path / "images"
    assert dataset.notes == ("annotations that are no boxes are left out: 1 mask, 1 polygon",)
    assert len(dataset) == 2
    assert list(dataset) == [
        ImageRecord(
            "sub/ä",
            tmp_path / "images" / "sub" / "ä.jpg",
            (
                Instance(Box(1.5, 2, 3, 4.25), "cat", Flags(difficult=True, occluded=True), "0"),
                Instance(Box(1.5, 2, 3, 4.25), "dog", Flags(), "1"),
            ),
            declared_size=(64, 48),
        ),
        ImageRecord("b", tmp_path / "images" / "b.png", ()),
    ]


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (
            box(rotation="12.5"),
            "the box is rotated by 12.5 degrees, and boxes must be upright; draw it upright",
        ),
        (
            box(rotation="bogus"),
            "the box is rotated by bogus degrees, and boxes must be upright; draw it upright",
        ),
        (
            box(corners='xtl="1" ytl="2" xbr="3"'),
            "expected numbers xtl, ytl, xbr, ybr, but got ['1', '2', '3', None]",
        ),
        (
            box(corners='xtl="nan" ytl="2" xbr="3" ybr="4"'),
            "invalid box: every coordinate must be a finite number, but got x0=nan y0=2 x1=3 y1=4",
        ),
        (
            box(corners='xtl="5" ytl="2" xbr="3" ybr="4"'),
            "invalid box: a box must have x0 < x1 and y0 < y1, but got x0=5 y0=2 x1=3 y1=4",
        ),
    ],
)
def test_a_broken_or_rotated_box_is_reported_and_the_rest_is_read(
    tmp_path: Path, broken: str, problem: str
) -> None:
    save(tmp_path, f'<image id="0" name="a.jpg" width="x" height="1">{broken}{box()}</image>')
    (record,) = CvatDataset(tmp_path / "annotations.xml")
    assert record == ImageRecord(
        "a",
        tmp_path / "a.jpg",
        (Instance(Box(1.5, 2, 3, 4.25), "cat", Flags(), "1"),),
        (BoxIssue("0", "cat", problem),),
    )


def test_duplicate_and_unsafe_names_are_errors_of_those_images(tmp_path: Path) -> None:
    save(tmp_path, '<image id="0" name="a.jpg"/><image id="1" name="a.png"/><image id="2" name="../a.jpg"/>')
    entries = [entry for entry in CvatDataset(tmp_path) if isinstance(entry, RecordError)]
    assert [(entry.key, entry.problem) for entry in entries] == [
        ("a", "two images share the key 'a': a.jpg and a.png; rename one"),
        ("../a.jpg", "an image must lie inside the image folder, but got '../a.jpg'"),
    ]


def test_a_subset_of_a_project_is_a_split(tmp_path: Path) -> None:
    (tmp_path / "images" / "Train").mkdir(parents=True)
    (tmp_path / "images" / "Train" / "a.jpg").touch()
    save(tmp_path, f'<image name="a.jpg" subset="Train">{box()}</image><image name="b.jpg" subset="Val"/>')
    (record,) = CvatDataset(tmp_path, split="Train")
    assert isinstance(record, ImageRecord)
    assert record.path == tmp_path / "images" / "Train" / "a.jpg"
    with pytest.raises(DatasetError, match=r"there is no subset 'Test'; expected one of \['Train', 'Val'\]"):
        CvatDataset(tmp_path, split="Test")


def test_tracks_of_a_video_are_refused_with_what_to_do(tmp_path: Path) -> None:
    save(tmp_path, '<track id="0" label="cat"><box frame="0" xtl="1" ytl="1" xbr="2" ybr="2"/></track>')
    with pytest.raises(DatasetError, match='holds tracks of a video; export the task as "CVAT for images'):
        CvatDataset(tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<annotations><image", "cannot be read as XML"),
        ("<annotation/>", "must be <annotations>"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "cannot be read as XML"),
    ],
)
def test_what_is_no_cvat_file_is_refused_by_name(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "annotations.xml").write_text(text)
    with pytest.raises(DatasetError, match=rf"annotations\.xml: .*{problem}"):
        CvatDataset(tmp_path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"annotations\.xml: the annotation file is missing"):
        CvatDataset(tmp_path)
    assert not CvatDataset.recognises(tmp_path)
