from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools import mask as coco_mask

from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError
from boxmask_core.formats import WRITERS
from boxmask_core.formats.coco import CocoDataset
from boxmask_core.formats.coco_masks import CocoMasks, CocoMaskWriter
from boxmask_core.formats.interface import WriterOptions
from boxmask_core.formats.limits import LIMITS
from boxmask_core.formats.voc_masks import VocMaskWriter
from boxmask_core.formats.yolo import YoloDataset
from boxmask_core.formats.yolo_masks import YoloSegWriter
from boxmask_core.grabcut import Fallback
from boxmask_core.instances import Flags, Instance, MaskedImage
from boxmask_core.palette import decode_indexed_png, decode_label_map
from boxmask_core.rle import encode_rle
from tests.core.formats.scenes import NAMES, RING, cat_and_dog, masked

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.core.conftest import MakeMask


def read_png(path: Path) -> NDArray[np.uint8]:
    return decode_indexed_png(path.read_bytes())


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def visible(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def picture(make_mask: MakeMask) -> MaskedImage:
    return cat_and_dog(make_mask)


FILES = {
    "voc": {"SegmentationClass/a.png", "SegmentationObject/a.png", "class_names.txt"},
    "coco": {"instances.json"},
    "coco-polygons": {"instances.json"},
    "coco-panoptic": {"panoptic/a.png", "panoptic.json"},
    "yolo": {"labels/a.txt", "data.yaml"},
    "yolo-split": {"labels/a.txt", "data.yaml"},
    "yolo-largest": {"labels/a.txt", "data.yaml"},
    "labelme": {"labelme/a.json", "labels.txt"},
    "labelme-polygons": {"labelme/a.json", "labels.txt"},
    "cvat": {"annotations.xml"},
    "labelstudio": {"tasks.json"},
    "labelstudio-bitmask": {"tasks.json"},
    "labelstudio-polygons": {"tasks.json"},
    "semantic": {"masks/a.png", "data.yaml"},
    "cityscapes": {"gtFine/a_gtFine_instanceIds.png", "gtFine/a_gtFine_labelIds.png", "class_names.txt"},
    "parquet": {"metadata.parquet"},
}


@pytest.mark.parametrize("name", WRITERS)
class TestEveryWriter:
    def test_an_exception_leaves_no_finished_dataset(
        self, name: str, tmp_path: Path, picture: MaskedImage
    ) -> None:
        def fail_halfway() -> None:
            with WRITERS[name](tmp_path, NAMES) as writer:
                writer.write(picture)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail_halfway()
        finished = {
            "annotations.xml",
            "class_names.txt",
            "data.yaml",
            "instances.json",
            "labels.txt",
            "metadata.parquet",
            "panoptic.json",
            "tasks.json",
        }
        assert not visible(tmp_path) & finished
        assert not any(path.split("/")[-1].startswith(".") for path in visible(tmp_path))

    def test_an_unknown_class_is_refused_by_name(
        self, name: str, tmp_path: Path, make_mask: MakeMask
    ) -> None:
        with (
            pytest.raises(DatasetError, match=r"a: classes \['yak'\]"),
            WRITERS[name](tmp_path, NAMES) as writer,
        ):
            writer.write(masked("a", make_mask(RING, class_name="yak")))

    def test_what_is_lost_was_declared(self, name: str, tmp_path: Path, make_mask: MakeMask) -> None:
        flags = Flags(difficult=True)
        parts = np.pad(RING, ((0, 2), (0, 4)))
        parts[8, 9] = 1
        masks = [make_mask(parts, flags=flags, identity="\1", class_name=each) for each in (*NAMES, *NAMES)]
        dots = [make_mask([[1]], at=(index % 20, index // 20)) for index in range(1100)]
        with WRITERS[name](tmp_path, NAMES) as writer:
            writer.write(masked("a", *masks, make_mask(np.zeros((3, 3))), *dots, height=60))
        assert writer.losses["instances with an empty mask"] == 1
        declared = LIMITS[name].sentences
        assert writer.losses.keys() == {sentence for sentence in declared if "qualities" not in sentence}

    def test_an_empty_mask_is_counted(self, name: str, tmp_path: Path, make_mask: MakeMask) -> None:
        with WRITERS[name](tmp_path, NAMES) as writer:
            writer.write(masked("a", make_mask(np.zeros((3, 3))), make_mask(np.ones((3, 3)))))
        assert writer.losses["instances with an empty mask"] == 1

    def test_an_image_without_instances_is_written(self, name: str, tmp_path: Path) -> None:
        with WRITERS[name](tmp_path, NAMES) as writer:
            writer.write(masked("a"))
        assert not writer.losses
        assert visible(tmp_path) == FILES[name]

    def test_single_images_are_not_synced_and_the_dataset_is(
        self, name: str, tmp_path: Path, picture: MaskedImage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[int] = []
        monkeypatch.setattr(os, "fsync", synced.append)
        with WRITERS[name](tmp_path, NAMES) as writer:
            writer.write(picture)
            assert not synced
        assert len(synced) == 1

    def test_what_cannot_be_completed_is_removed(
        self, name: str, tmp_path: Path, picture: MaskedImage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: int) -> None:
            raise OSError("no space left")

        def complete() -> None:
            with WRITERS[name](tmp_path, NAMES) as writer:
                writer.write(picture)
                monkeypatch.setattr(os, "fsync", full)

        with pytest.raises(OSError, match="no space left"):
            complete()
        assert not any(path.split("/")[-1].startswith(".") for path in visible(tmp_path))

    def test_the_same_masks_give_the_same_bytes_in_any_order(
        self, name: str, tmp_path: Path, picture: MaskedImage, make_mask: MakeMask
    ) -> None:
        images = [picture, masked("b", make_mask(RING)), masked("sub/c", make_mask(RING, class_name="dog"))]
        for folder, order in (("one", images), ("two", images[::-1])):
            with WRITERS[name](tmp_path / folder, NAMES) as writer:
                for image in order:
                    writer.write(image)
        assert visible(tmp_path / "one") == visible(tmp_path / "two")
        for file in visible(tmp_path / "one"):
            assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_voc_writes_class_and_object_maps_under_the_key(tmp_path: Path, picture: MaskedImage) -> None:
    with VocMaskWriter(tmp_path, NAMES) as writer:
        writer.write(picture)
    classes = read_png(tmp_path / "SegmentationClass" / "sub" / "a.png")
    objects = read_png(tmp_path / "SegmentationObject" / "sub" / "a.png")
    expected = np.zeros((12, 20), dtype=np.uint8)
    expected[3:10, 2:9][RING > 0] = 1
    expected[8:10, 7:11] = 2
    assert (classes == expected).all()
    assert (objects == expected).all()
    assert (tmp_path / "class_names.txt").read_text() == "background\ncat\ndog\n"
    assert writer.losses == {"pixels that masks lose to overlaps": 4}


def test_voc_counts_instances_that_cannot_be_seen(tmp_path: Path, make_mask: MakeMask) -> None:
    hidden = make_mask(np.ones((2, 2)), at=(3, 3), box=Box(0, 0, 12, 12))
    with VocMaskWriter(tmp_path, NAMES) as writer:
        writer.write(masked("a", hidden, make_mask(np.ones((6, 6)), at=(2, 2))))
    assert writer.losses["instances that lose every pixel to overlaps"] == 1


def test_voc_takes_sixteen_bits_for_many_objects(tmp_path: Path, make_mask: MakeMask) -> None:
    with VocMaskWriter(tmp_path, NAMES) as writer:
        dots = [make_mask([[1]], at=(index % 20, index // 20)) for index in range(300)]
        writer.write(masked("a", *dots, height=15))
    data = (tmp_path / "SegmentationObject" / "a.png").read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "I;16"
        assert np.asarray(image).ravel().tolist() == list(range(1, 301))
    (note,) = writer.notes
    assert note.startswith(
        "images with more than 254 instances: 1; their SegmentationObject is a 16-bit grey"
    )
    assert note.endswith("in which 65535 is void")


def test_voc_takes_sixteen_bits_for_many_classes_and_says_so(tmp_path: Path, make_mask: MakeMask) -> None:
    names = [f"class {index}" for index in range(1, 301)]
    doubtful = replace(make_mask([[1]], at=(5, 0), class_name="class 1"), quality=0.1)
    last = make_mask([[1]], class_name="class 300")
    with VocMaskWriter(tmp_path, names, WriterOptions(void_below=0.2)) as writer:
        writer.write(masked("a", last, doubtful))
    classes = decode_label_map((tmp_path / "SegmentationClass" / "a.png").read_bytes())
    assert classes.dtype == np.uint16
    assert (classes[0, 0], classes[0, 1], classes[0, 5]) == (300, 0, 65535)
    objects = decode_label_map((tmp_path / "SegmentationObject" / "a.png").read_bytes())
    assert objects.dtype == np.uint8
    assert (objects[0, 0], objects[0, 5]) == (1, 255)
    (note,) = writer.notes
    assert note.startswith("300 classes do not fit into 8 bits: SegmentationClass holds 16-bit greyscale PNG")
    assert note.endswith("in which 65535 is void")


def test_voc_has_nothing_to_say_of_maps_of_eight_bits(tmp_path: Path, picture: MaskedImage) -> None:
    with VocMaskWriter(tmp_path, [*NAMES, *(str(index) for index in range(252))]) as writer:
        writer.write(picture)
    assert writer.notes == ()
    assert read_png(tmp_path / "SegmentationClass" / "sub" / "a.png").dtype == np.uint8


def test_voc_refuses_more_classes_than_sixteen_bits_hold(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="at most 65534 classes, but got 65535; write COCO"):
        VocMaskWriter(tmp_path, [str(index) for index in range(65535)])


def test_coco_writes_one_complete_file(tmp_path: Path, picture: MaskedImage) -> None:
    with CocoMaskWriter(tmp_path, NAMES) as writer:
        writer.write(picture)
        assert visible(tmp_path) == {".instances.json.part"}
    assert visible(tmp_path) == {"instances.json"}
    content = read_json(tmp_path / "instances.json")
    assert content["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    assert content["images"] == [{"id": 1, "file_name": "sub/a.jpg", "width": 20, "height": 12}]
    cat, dog = content["annotations"]
    full = np.zeros((12, 20), dtype=np.uint8, order="F")
    full[3:10, 2:9] = RING
    rle = cat.pop("segmentation")
    assert rle["size"] == [12, 20]
    assert rle["counts"].encode() == coco_mask.encode(full)["counts"]
    assert cat == {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": [2, 3, 7, 7],
        "area": 40,
        "iscrowd": 0,
        "box": [2, 3, 7, 7],
        "source_id": "17",
        "quality": 0.5,
        "fallback": "none",
        "attributes": {"difficult": False, "truncated": True, "occluded": False},
    }
    assert (dog["id"], dog["category_id"], dog["area"]) == (2, 2, 8)


def test_coco_bounds_are_those_of_the_mask_and_not_of_the_box(tmp_path: Path, make_mask: MakeMask) -> None:
    mask = np.zeros((8, 9))
    mask[2:4, 5:8] = 1
    with CocoMaskWriter(tmp_path, NAMES) as writer:
        writer.write(masked("a", make_mask(mask, at=(1, 2))))
    (annotation,) = read_json(tmp_path / "instances.json")["annotations"]
    assert annotation["bbox"] == [6, 4, 3, 2]
    assert annotation["box"] == [1, 2, 9, 8]


def test_coco_passes_the_crowd_flag_through_and_never_sets_it(tmp_path: Path, make_mask: MakeMask) -> None:
    with CocoMaskWriter(tmp_path, NAMES) as writer:
        writer.write(masked("a", make_mask(RING, flags=Flags(crowd=True)), make_mask(RING)))
    annotations = read_json(tmp_path / "instances.json")["annotations"]
    assert [annotation["iscrowd"] for annotation in annotations] == [1, 0]


@pytest.mark.parametrize("name", ["coco", "coco-panoptic", "cvat", "labelstudio", "parquet"])
def test_a_key_is_refused_twice_where_one_file_holds_all_images(tmp_path: Path, name: str) -> None:
    with WRITERS[name](tmp_path, NAMES) as writer:
        writer.write(masked("a"))
        with pytest.raises(DatasetError, match="written twice"):
            writer.write(masked("a"))


def test_coco_masks_come_back_as_they_were(tmp_path: Path, picture: MaskedImage, make_mask: MakeMask) -> None:
    beyond = make_mask(
        RING, at=(13, 5), box=Box(13, 5, 31.5, 44), flags=Flags(crowd=True), identity="é\udcff"
    )
    with CocoMaskWriter(tmp_path, NAMES) as writer:
        writer.write(picture)
        writer.write(masked("b", beyond))
    masks = CocoMasks(tmp_path)
    assert masks.class_names == NAMES
    assert [(image.file_name, image.width, image.height) for image in masks.images] == [
        ("b.jpg", 20, 12),
        ("sub/a.jpg", 20, 12),
    ]
    read = [entry for image in masks.images for entry in masks.masks(image)]
    written = [beyond, *picture.masks]
    assert [mask.instance for mask in read] == [mask.instance for mask in written]
    for found, mask in zip(read, written, strict=True):
        assert found.proposal.window == mask.proposal.window
        assert found.proposal.fallback == mask.proposal.fallback
        assert (found.proposal.mask == mask.proposal.mask).all()
        assert found.quality == pytest.approx(mask.quality, abs=5e-5)


@pytest.mark.parametrize("kind", ["runs", "compressed", "polygon"])
def test_coco_masks_of_others_have_the_box_of_their_pixels(tmp_path: Path, kind: str) -> None:
    full = np.zeros((12, 20), dtype=np.uint8, order="F")
    full[3:5, 7:11] = 1
    shapes: dict[str, object] = {
        "runs": {"size": [12, 20], "counts": [7 * 12 + 3, 2, 10, 2, 10, 2, 10, 2, 115]},
        "compressed": {"size": [12, 20], "counts": encode_rle(full.view(np.bool_)).decode()},
        "polygon": [[7, 3, 11, 3, 11, 5, 7, 5]],
    }
    annotation = {"id": 5, "image_id": 1, "category_id": 3, "segmentation": shapes[kind], "iscrowd": 1}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 20, "height": 12}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [annotation],
    }
    (tmp_path / "instances.json").write_text(json.dumps(content))
    masks = CocoMasks(tmp_path)
    (mask,) = masks.masks(masks.images[0])
    assert mask.instance == Instance(Box(7, 3, 11, 5), "cat", Flags(crowd=True), "5")
    assert mask.proposal.mask.all()
    assert (mask.quality, mask.proposal.fallback) == (1.0, Fallback.NONE)


def test_coco_output_is_a_detection_dataset(tmp_path: Path, picture: MaskedImage) -> None:
    with CocoMaskWriter(tmp_path, NAMES) as writer:
        writer.write(picture)
    dataset = CocoDataset(tmp_path / "instances.json")
    assert dataset.class_names == NAMES
    assert len(dataset) == 1


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"categories": [], "images": [], "annotations": [{}]}'])
def test_a_broken_file_of_masks_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "instances.json").write_text(content)
    with pytest.raises(DatasetError, match=r"instances\.json: cannot be read as COCO masks"):
        CocoMasks(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"segmentation": [[0, 0, 5, 5]]},
        {"segmentation": [[0, 0, 5, 5, 0, 1e9]]},
        {"segmentation": []},
        {"segmentation": {"counts": "1"}},
        {"box": [0, 0, 0, 0]},
        {"box": None},
        {"fallback": "bogus"},
        {"quality": None},
        {"category_id": 9},
        {"attributes": None},
        {"segmentation": {"counts": [1, 2]}},
        {"segmentation": {"counts": [-1, 241]}},
    ],
)
def test_a_broken_mask_is_refused_when_it_is_decoded(
    tmp_path: Path, picture: MaskedImage, change: dict[str, object]
) -> None:
    with CocoMaskWriter(tmp_path, NAMES) as writer:
        writer.write(picture)
    content = read_json(tmp_path / "instances.json")
    content["annotations"][1] |= change
    (tmp_path / "instances.json").write_text(json.dumps(content))
    masks = CocoMasks(tmp_path)
    with pytest.raises(DatasetError, match="annotation 2 cannot be read as a mask"):
        masks.masks(masks.images[0])


def rasterised(line: str, width: int, height: int, cast: str) -> NDArray[np.bool_]:
    """Fills a YOLO-seg line; readers of the format either cut off decimals or round."""
    points = np.array(line.split()[1:], dtype=np.float64).reshape(-1, 2) * (width, height)
    out = np.zeros((height, width), dtype=np.uint8)
    cv2.fillPoly(out, [(np.trunc(points) if cast == "trunc" else np.round(points)).astype(np.int32)], 1)
    return out.astype(np.bool_)


@pytest.mark.parametrize("cast", ["trunc", "round"])
@pytest.mark.parametrize(("width", "height"), [(20, 12), (375, 500), (641, 333)])
def test_yolo_polygons_fill_to_the_mask(
    tmp_path: Path, make_mask: MakeMask, width: int, height: int, cast: str
) -> None:
    with YoloSegWriter(tmp_path, NAMES) as writer:
        corner = make_mask(RING, at=(width - 7, height - 7), class_name="dog")
        writer.write(masked("sub/a", make_mask(RING), corner, width=width, height=height))
    first, second = (tmp_path / "labels" / "sub" / "a.txt").read_text().splitlines()
    assert (first.split()[0], second.split()[0]) == ("0", "1")
    assert (rasterised(first, width, height, cast)[:7, :7] == (RING > 0)).all()
    assert (rasterised(second, width, height, cast)[-7:, -7:] == (RING > 0)).all()
    values = np.array((first + second).split(), dtype=np.float64)
    assert values.min() >= 0
    assert values[2:].max() <= 1
    assert writer.losses == {"holes joined by a bridge": 2}


def test_yolo_counts_what_the_format_cannot_hold(tmp_path: Path, make_mask: MakeMask) -> None:
    two_parts = np.array([[1, 0, 1], [1, 0, 1]])
    with YoloSegWriter(tmp_path, NAMES) as writer:
        writer.write(masked("a", make_mask(two_parts, flags=Flags(crowd=True))))
    assert writer.losses == {"parts joined by a bridge": 1, "instances whose flags are dropped": 1}


def test_yolo_writes_parts_as_lines_of_their_own_or_the_largest_alone(
    tmp_path: Path, make_mask: MakeMask
) -> None:
    parts = np.zeros((8, 12), dtype=np.bool_)
    parts[0, 0:2] = True
    parts[2:7, 5:10] = True
    parts[4, 7] = False
    parts[7, 0] = True
    image = masked("a", make_mask(parts, at=(3, 2), flags=Flags(crowd=True)))
    fillings = {}
    for name in ("yolo-split", "yolo-largest"):
        with WRITERS[name](tmp_path / name, NAMES) as writer:
            writer.write(image)
        lines = (tmp_path / name / "labels" / "a.txt").read_text().splitlines()
        fillings[name] = [rasterised(line, 20, 12, "trunc")[2:10, 3:15] for line in lines], writer.losses
    split, losses = fillings["yolo-split"]
    assert losses == {
        "parts written as objects of their own": 2,
        "holes joined by a bridge": 1,
        "instances whose flags are dropped": 1,
    }
    assert [filled.sum() for filled in split] == [24, 2, 1]
    assert (np.logical_or.reduce(split) == parts).all()
    largest, losses = fillings["yolo-largest"]
    assert losses == {
        "smaller parts left out": 2,
        "holes joined by a bridge": 1,
        "instances whose flags are dropped": 1,
    }
    assert len(largest) == 1
    assert (largest[0] == split[0]).all()


def test_yolo_describes_itself_and_is_read_back(tmp_path: Path, picture: MaskedImage) -> None:
    with YoloSegWriter(tmp_path, NAMES) as writer:
        writer.write(picture)
    config = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert config == {"path": ".", "train": "images", "val": "images", "names": {0: "cat", 1: "dog"}}
    (tmp_path / "images" / "sub").mkdir(parents=True)
    Image.new("RGB", (20, 12)).save(tmp_path / "images" / "sub" / "a.jpg")
    dataset = YoloDataset(tmp_path)
    assert dataset.class_names == NAMES
    assert len(dataset) == 1
