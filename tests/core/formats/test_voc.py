from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError
from boxmask_core.formats import open_dataset
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.voc import VOC_CLASSES, VocDataset
from boxmask_core.instances import BoxIssue, Flags, ImageRecord, Instance

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_core.formats.interface import DetectionDataset


def bndbox(xmin: object, ymin: object, xmax: object, ymax: object) -> str:
    # The order of the tags is not VOC's: they are found by name.
    return f"<bndbox><xmax>{xmax}</xmax><xmin>{xmin}</xmin><ymax>{ymax}</ymax><ymin>{ymin}</ymin></bndbox>"


def element(name: str, box: str, more: str = "") -> str:
    return f"<object><name>{name}</name>{more}{box}</object>"


class Folder:
    """A VOC folder in the making."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "Annotations").mkdir(parents=True)
        (root / "JPEGImages").mkdir()

    def add(
        self, key: str, *objects: str, size: str = "", filename: str = "", image: str | None = None
    ) -> None:
        content = f"<annotation><filename>{filename}</filename>{size}{''.join(objects)}</annotation>"
        self.add_raw(key, content)
        path = self.root / "JPEGImages" / (image or f"{key}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def add_raw(self, key: str, content: str) -> None:
        path = self.root / "Annotations" / f"{key}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")

    def add_set(self, place: str, *lines: str) -> None:
        path = self.root / "ImageSets" / f"{place}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "VOCdevkit" / "VOC2012")


def records(dataset: DetectionDataset) -> list[ImageRecord]:
    found = list(dataset)
    assert all(isinstance(entry, ImageRecord) for entry in found)
    return [entry for entry in found if isinstance(entry, ImageRecord)]


def only(dataset: DetectionDataset) -> ImageRecord:
    (record,) = records(dataset)
    return record


def test_boxes_are_one_based_and_inclusive(folder: Folder) -> None:
    flags = "<difficult>1</difficult><truncated>0.6</truncated><occluded>0</occluded>"
    size = "<size><width>500</width><height>375</height><depth>3</depth></size>"
    folder.add(
        "a",
        element("cat", bndbox(1, 1, 500, 375), flags),
        element("dog", bndbox("45.70000076293945", 2, 100, 80)),
        size=size,
    )
    assert records(VocDataset(folder.root)) == [
        ImageRecord(
            key="a",
            path=folder.root / "JPEGImages" / "a.jpg",
            instances=(
                Instance(Box(0, 0, 500, 375), "cat", Flags(difficult=True, truncated=True), "0"),
                Instance(Box(44.70000076293945, 1, 100, 80), "dog", Flags(), "1"),
            ),
            declared_size=(500, 375),
        )
    ]


@pytest.mark.parametrize("parent", ["", "..", "../.."])
def test_the_folder_is_found_from_above(folder: Folder, parent: str) -> None:
    folder.add("a", element("cat", bndbox(1, 1, 5, 5)))
    dataset = open_dataset((folder.root / parent).resolve())
    assert len(dataset) == 1
    assert dataset.image_root == folder.root / "JPEGImages"


def test_several_folders_ask_for_a_choice(folder: Folder) -> None:
    Folder(folder.root.parent / "VOC2007")
    with pytest.raises(DatasetError, match="several VOC folders"):
        VocDataset(folder.root.parent)


def test_a_split_is_looked_for_under_segmentation_and_then_under_main(folder: Folder) -> None:
    for key in "abc":
        folder.add(key, element("cat", bndbox(1, 1, 5, 5)))
    folder.add_set("Segmentation/val", "c", "a", "", "c")
    folder.add_set("Main/val", "b")
    folder.add_set("Main/cat_train", "b -1", "a  1")
    assert [record.key for record in records(VocDataset(folder.root, split="val"))] == ["c", "a"]
    assert [record.key for record in records(VocDataset(folder.root, split="cat_train"))] == ["b", "a"]
    with pytest.raises(DatasetError, match=r"no image set 'test'; expected one of \['cat_train', 'val'\]"):
        VocDataset(folder.root, split="test")


def test_keys_of_a_split_may_have_spaces(folder: Folder) -> None:
    for key in ("my cat", "my cat 1", "my"):
        folder.add(key, element("cat", bndbox(1, 1, 5, 5)))
    folder.add_set("Main/val", "my cat", "my cat  -1", "my cat 1", "my 1")
    assert [record.key for record in records(VocDataset(folder.root, split="val"))] == [
        "my cat",
        "my cat 1",
        "my",
    ]


def test_a_list_of_files_is_read_as_a_list_of_keys(folder: Folder) -> None:
    """The lists of SBD's ``trainaug`` that go round name image and label map."""
    folder.add("2007_000032", element("cat", bndbox(1, 1, 5, 5)))
    folder.add_set(
        "Segmentation/trainaug", "/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png"
    )
    assert [record.key for record in records(VocDataset(folder.root, split="trainaug"))] == ["2007_000032"]


def test_a_key_that_leads_out_of_the_folder_is_refused(folder: Folder) -> None:
    folder.add_set("Main/evil", "../../etc/passwd")
    folder.add_set("Main/worse", "/JPEGImages/../../etc/passwd.jpg")
    for split in ("evil", "worse"):
        with pytest.raises(DatasetError, match="must lie inside the image folder"):
            VocDataset(folder.root, split=split)


def test_without_a_split_all_annotations_are_read_in_order_of_their_keys(folder: Folder) -> None:
    for key in ("b", "sub/a", "a.b"):
        folder.add(key, element("cat", bndbox(1, 1, 5, 5)))
    assert [record.key for record in records(VocDataset(folder.root))] == ["a.b", "b", "sub/a"]


def test_class_names_are_vocs_or_else_what_the_dataset_has(folder: Folder) -> None:
    folder.add("a", element("cat", bndbox(1, 1, 5, 5)))
    assert VocDataset(folder.root).class_names == VOC_CLASSES
    folder.add("b", element("yak", bndbox(1, 1, 5, 5)))
    assert VocDataset(folder.root).class_names == ("cat", "yak")


def test_an_image_without_objects_is_kept(folder: Folder) -> None:
    folder.add("a")
    assert only(VocDataset(folder.root)).instances == ()


def test_parts_of_objects_are_not_objects(folder: Folder) -> None:
    part = f"<part><name>head</name>{bndbox(2, 2, 3, 3)}</part>"
    folder.add("a", f"<object><name>person</name>{part}{bndbox(1, 1, 9, 9)}{part}</object>")
    assert [instance.box for instance in only(VocDataset(folder.root)).instances] == [Box(0, 0, 9, 9)]


@pytest.mark.parametrize(
    ("broken", "class_name", "problem"),
    [
        (element("cat", bndbox(5, 5, 4, 9)), "cat", "x0 < x1"),
        (element("cat", bndbox("nan", 5, 9, 9)), "cat", "finite"),
        (element("cat", bndbox("left", 5, 9, 9)), "cat", "four numbers"),
        (element("cat", "<bndbox><xmin>1</xmin></bndbox>"), "cat", "four numbers"),
        (element("cat", ""), "cat", "four numbers"),
        (element("", bndbox(1, 1, 5, 5)), "", "no <name>"),
    ],
)
def test_a_bad_box_is_an_issue_and_the_others_are_kept(
    folder: Folder, broken: str, class_name: str, problem: str
) -> None:
    folder.add("a", element("dog", bndbox(1, 1, 5, 5)), broken, element("cow", bndbox(2, 2, 5, 5)))
    record = only(VocDataset(folder.root))
    assert [instance.id for instance in record.instances] == ["0", "2"]
    (issue,) = record.issues
    assert isinstance(issue, BoxIssue)
    assert (issue.id, issue.class_name) == ("1", class_name)
    assert problem in issue.problem


BOMB = '<!DOCTYPE x [<!ENTITY a "ha">]><annotation><filename>&a;</filename></annotation>'


@pytest.mark.parametrize("content", ["", "<annotation>", "not xml", "<image/>", BOMB, "\ufffe\0"])
def test_an_unreadable_file_is_reported_and_the_rest_goes_on(folder: Folder, content: str) -> None:
    folder.add("a", element("cat", bndbox(1, 1, 5, 5)))
    folder.add_raw("b", content)
    folder.add("c", element("cat", bndbox(1, 1, 5, 5)))
    first, broken, last = VocDataset(folder.root)
    assert isinstance(first, ImageRecord)
    assert isinstance(last, ImageRecord)
    assert isinstance(broken, RecordError)
    assert (broken.key, broken.path) == ("b", folder.root / "Annotations" / "b.xml")
    assert broken.problem


def test_a_missing_annotation_of_a_split_is_reported(folder: Folder) -> None:
    folder.add_set("Main/val", "ghost")
    (error,) = VocDataset(folder.root, split="val")
    assert isinstance(error, RecordError)
    assert (error.key, error.problem) == ("ghost", "the annotation file is missing")


@pytest.mark.parametrize(
    ("image", "filename", "expected"),
    [
        ("a.jpg", "other.jpg", "a.jpg"),
        ("a.PNG", "a.jpg", "a.PNG"),
        ("other.png", "some/where/other.png", "other.png"),
        ("unrelated.jpg", "../../etc/passwd", "a.jpg"),
        ("unrelated.jpg", "", "a.jpg"),
    ],
)
def test_the_image_is_found_by_its_key_and_then_by_the_name_in_the_file(
    folder: Folder, image: str, filename: str, expected: str
) -> None:
    folder.add("a", image=image, filename=filename)
    assert only(VocDataset(folder.root)).path == folder.root / "JPEGImages" / expected


def test_of_two_images_of_one_key_the_one_that_the_annotation_names_is_taken(folder: Folder) -> None:
    folder.add("a", image="a.jpg", filename="a.png")
    (folder.root / "JPEGImages" / "a.png").touch()
    assert only(VocDataset(folder.root)).path == folder.root / "JPEGImages" / "a.png"


@pytest.mark.parametrize(
    "size", ["", "<size><width>0</width><height>0</height></size>", "<size><width>x</width></size>"]
)
def test_a_size_that_says_nothing_is_no_size(folder: Folder, size: str) -> None:
    folder.add("a", size=size)
    assert only(VocDataset(folder.root)).declared_size is None


class TestOrigin:
    def test_told_to_count_from_zero_edges_are_taken_as_they_are(self, folder: Folder) -> None:
        folder.add("a", element("cat", bndbox(1, 2, 5, 6)))
        assert only(VocDataset(folder.root, origin="0")).instances[0].box == Box(1, 2, 5, 6)

    def test_without_a_coordinate_below_one_the_boxes_that_were_looked_at_are_the_evidence(
        self, folder: Folder
    ) -> None:
        folder.add("a", element("cat", bndbox(1, 2, 5, 6)), element("cat", bndbox(3, 1, 5, 6)))
        folder.add("b", element("cat", bndbox(3, 2, 5, 6)))
        (note,) = VocDataset(folder.root).notes
        assert note == "VOC boxes read as 1-based and inclusive: no coordinate is below 1 in 3 boxes"

    @pytest.mark.parametrize("low", ["0", "0.5", "-3"])
    def test_any_coordinate_below_one_means_zero_based_and_is_named(self, folder: Folder, low: str) -> None:
        folder.add("a", element("cat", bndbox(3, 2, 5, 6)))
        folder.add("sub/b", element("cat", bndbox(3, 2, 5, 6)), element("dog", bndbox(3, low, 5, 6)))
        dataset = VocDataset(folder.root)
        assert records(dataset)[0].instances[0].box == Box(3, 2, 5, 6)
        (note,) = dataset.notes
        assert note == (
            f"VOC boxes read as 0-based edges: ymin is {low} in sub/b.xml, "
            "and 1 of 2 files have a coordinate below 1; if they count from 1, pass --voc-origin 1"
        )

    def test_a_stray_zero_among_many_files_decides_and_warns(self, folder: Folder) -> None:
        for number in range(150):
            folder.add(f"{number:03}", element("cat", bndbox(3, 2, 5, 6)))
        folder.add("zero", element("cat", bndbox(0, 2, 5, 6)))
        dataset = VocDataset(folder.root)
        assert records(dataset)[0].instances[0].box == Box(3, 2, 5, 6)
        (note,) = dataset.notes
        assert note.startswith("warning: VOC boxes read as 0-based edges: xmin is 0 in zero.xml")
        assert "1 of 151 files" in note

    def test_what_is_no_number_is_no_evidence(self, folder: Folder) -> None:
        folder.add("a", element("cat", bndbox("nan", "-inf", 5, 6)), element("cat", bndbox(3, 2, 5, 6)))
        (note,) = VocDataset(folder.root).notes
        assert "no coordinate is below 1 in 2 boxes" in note

    def test_decimals_are_no_evidence(self, folder: Folder) -> None:
        folder.add("a", element("cat", bndbox(1.5, 2, 5, 6)))
        assert only(VocDataset(folder.root)).instances[0].box == Box(0.5, 1, 5, 6)


def test_the_real_dataset_is_read_as_documented(voc_root: Path) -> None:
    dataset = open_dataset(voc_root, split="val")
    found = records(dataset)
    assert dataset.class_names == VOC_CLASSES
    assert len(found) == len(dataset) > 0
    assert all(record.path.is_file() and record.declared_size for record in found)
    for record in found:
        width, height = record.declared_size or (0, 0)
        for instance in record.instances:
            box = instance.box
            assert 0 <= box.x0 < box.x1 <= width
            assert 0 <= box.y0 < box.y1 <= height
