"""Every reader of boxes with every writer of masks: what is written is read back and compared whole."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from boxmask_core.boxes import Box
from boxmask_core.compositing import compose
from boxmask_core.formats import READERS, WRITERS, open_dataset
from boxmask_core.formats.closing import BRIDGED_PARTS
from boxmask_core.formats.coco_masks import CocoMasks
from boxmask_core.formats.cvat_masks import read_cvat_masks
from boxmask_core.formats.labelme_masks import read_labelme_masks
from boxmask_core.formats.labelstudio_masks import read_labelstudio_masks
from boxmask_core.formats.limits import LIMITS
from boxmask_core.formats.parquet_masks import read_parquet_masks
from boxmask_core.grabcut import Fallback, Proposal, filled_box
from boxmask_core.instances import Flags, ImageRecord, Instance, InstanceMask, MaskedImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

WIDTH, HEIGHT = 64, 32
SCENE = {
    "a": (("cat", (4, 2, 36, 30)), ("собака", (20, 10, 52, 26))),
    "b": (("собака", (0, 0, 64, 32)), ("cat", (8, 8, 16, 24)), ("cat", (40, 4, 41, 5))),
}
"""Boxes whose percent and normalised coordinates are exact; in each image some lie over one another."""

Boxes = tuple[tuple[str, tuple[int, int, int, int]], ...]


def pictures(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for key in SCENE:
        Image.new("L", (WIDTH, HEIGHT)).save(folder / f"{key}.jpg")


def voc(root: Path) -> None:
    pictures(root / "JPEGImages")
    (root / "Annotations").mkdir()
    for key, boxes in SCENE.items():
        objects = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax>"
            f"<ymax>{y1}</ymax></bndbox></object>"
            for name, (x0, y0, x1, y1) in boxes
        )
        (root / "Annotations" / f"{key}.xml").write_text(f"<annotation>{objects}</annotation>", "utf-8")


def coco(root: Path) -> None:
    pictures(root / "images")
    names = {"cat": 9, "собака": 3}
    annotations = [
        {"id": 0, "image_id": key, "category_id": names[name], "bbox": [x0, y0, x1 - x0, y1 - y0]}
        for key, boxes in SCENE.items()
        for name, (x0, y0, x1, y1) in boxes
    ]
    content = {
        "images": [{"id": key, "file_name": f"{key}.jpg"} for key in SCENE],
        "annotations": annotations,
        "categories": [{"id": identity, "name": name} for name, identity in names.items()],
    }
    (root / "annotations").mkdir()
    (root / "annotations" / "instances.json").write_text(json.dumps(content))


def yolo(root: Path) -> None:
    pictures(root / "images")
    (root / "labels").mkdir()
    names = ["cat", "собака"]
    for key, boxes in SCENE.items():
        lines = [
            f"{names.index(name)} {(x0 + x1) / 2 / WIDTH} {(y0 + y1) / 2 / HEIGHT} {(x1 - x0) / WIDTH} "
            f"{(y1 - y0) / HEIGHT}\n"
            for name, (x0, y0, x1, y1) in boxes
        ]
        (root / "labels" / f"{key}.txt").write_text("".join(lines))
    (root / "data.yaml").write_text(yaml.safe_dump({"train": "images", "names": names}))


def labelme(root: Path) -> None:
    pictures(root)
    for key, boxes in SCENE.items():
        shapes = [
            {"label": name, "points": [[x1, y0], [x0, y1]], "shape_type": "rectangle"}
            for name, (x0, y0, x1, y1) in boxes
        ]
        (root / f"{key}.json").write_text(json.dumps({"shapes": shapes, "imagePath": f"{key}.jpg"}))


def cvat(root: Path) -> None:
    pictures(root / "images")
    images = "".join(
        f'<image name="{key}.jpg" width="{WIDTH}" height="{HEIGHT}">'
        + "".join(
            f'<box label="{name}" xtl="{x0}" ytl="{y0}" xbr="{x1}" ybr="{y1}"/>'
            for name, (x0, y0, x1, y1) in boxes
        )
        + "</image>"
        for key, boxes in SCENE.items()
    )
    (root / "annotations.xml").write_text(f"<annotations>{images}</annotations>", "utf-8")


def labelstudio(root: Path) -> None:
    pictures(root / "images")
    tasks = []
    for key, boxes in SCENE.items():
        result = [
            {
                "id": f"r{index}",
                "type": "rectanglelabels",
                "original_width": WIDTH,
                "original_height": HEIGHT,
                "value": {
                    "x": x0 * 100 / WIDTH,
                    "y": y0 * 100 / HEIGHT,
                    "width": (x1 - x0) * 100 / WIDTH,
                    "height": (y1 - y0) * 100 / HEIGHT,
                    "rectanglelabels": [name],
                },
            }
            for index, (name, (x0, y0, x1, y1)) in enumerate(boxes)
        ]
        tasks.append({"data": {"image": f"/data/upload/{key}.jpg"}, "annotations": [{"result": result}]})
    (root / "export.json").write_text(json.dumps(tasks))


def kitti(root: Path) -> None:
    pictures(root / "image_2")
    (root / "label_2").mkdir()
    for key, boxes in SCENE.items():
        lines = [f"{name} 0 0 0 {x0} {y0} {x1} {y1} 0 0 0 0 0 0 0\n" for name, (x0, y0, x1, y1) in boxes]
        (root / "label_2" / f"{key}.txt").write_text("".join(lines), "utf-8")


def openimages(root: Path) -> None:
    pictures(root / "train")
    lines = ["ImageID,LabelName,XMin,XMax,YMin,YMax\n"]
    lines += [
        f"{key},{name},{x0 / WIDTH},{x1 / WIDTH},{y0 / HEIGHT},{y1 / HEIGHT}\n"
        for key, boxes in SCENE.items()
        for name, (x0, y0, x1, y1) in boxes
    ]
    (root / "train-annotations-bbox.csv").write_text("".join(lines), "utf-8")


def imagefolder(root: Path) -> None:
    pictures(root)
    rows = []
    for key, boxes in SCENE.items():
        objects = {
            "bbox": [[x0, y0, x1 - x0, y1 - y0] for _, (x0, y0, x1, y1) in boxes],
            "category": [name for name, _ in boxes],
        }
        rows.append(json.dumps({"file_name": f"{key}.jpg", "objects": objects}) + "\n")
    (root / "metadata.jsonl").write_text("".join(rows))


SOURCES: Mapping[str, Callable[[Path], None]] = {
    "voc": voc,
    "coco": coco,
    "yolo": yolo,
    "labelme": labelme,
    "cvat": cvat,
    "labelstudio": labelstudio,
    "kitti": kitti,
    "openimages": openimages,
    "imagefolder": imagefolder,
}


def read_coco(folder: Path) -> Iterable[MaskedImage]:
    masks = CocoMasks(folder)
    for image in masks.images:
        key = image.file_name.removesuffix(".jpg")
        yield MaskedImage(key, image.file_name, image.width, image.height, tuple(masks.masks(image)))


LOSSLESS: Mapping[str, Callable[[Path], Iterable[MaskedImage]]] = {
    "coco": read_coco,
    "coco-polygons": read_coco,
    "labelme": read_labelme_masks,
    "cvat": read_cvat_masks,
    "labelstudio": read_labelstudio_masks,
    "labelstudio-bitmask": read_labelstudio_masks,
    "labelstudio-polygons": read_labelstudio_masks,
    "parquet": read_parquet_masks,
}
"""Formats that hold every mask with its box, its flags, its id, its quality and its fallback."""


def plain(image: MaskedImage) -> tuple[object, ...]:
    """Returns an image in values that compare whole."""
    masks = [
        (
            mask.instance,
            mask.proposal.window,
            mask.proposal.fallback,
            mask.quality,
            mask.proposal.mask.tolist(),
        )
        for mask in image.masks
    ]
    return image.key, image.file_name, image.width, image.height, masks


def scene(source: str, root: Path) -> tuple[tuple[str, ...], list[MaskedImage]]:
    """Writes the scene in a format, reads its boxes, and makes a mask with a hole and two parts of each."""
    root.mkdir()
    SOURCES[source](root)
    dataset = open_dataset(root)
    images = []
    for record in dataset:
        assert isinstance(record, ImageRecord)
        assert record.issues == ()
        masks = tuple(with_hole_and_parts(instance) for instance in record.instances)
        images.append(
            MaskedImage(
                record.key, record.path.relative_to(dataset.image_root).as_posix(), WIDTH, HEIGHT, masks
            )
        )
    return dataset.class_names, images


def with_hole_and_parts(instance: Instance) -> InstanceMask:
    proposal = filled_box((WIDTH, HEIGHT), instance.box, Fallback.SMALL_MASK)
    mask = proposal.mask.copy()
    mask[2:4, 2:4] = False
    mask[6:7, 1:] = False
    return InstanceMask(instance, Proposal(proposal.window, mask, proposal.fallback), 0.8125)


@pytest.mark.parametrize("source", READERS)
def test_every_format_gives_the_same_boxes(tmp_path: Path, source: str) -> None:
    class_names, images = scene(source, tmp_path / "in")
    assert sorted(class_names) == ["cat", "собака"]
    found = {image.key.removeprefix("images/"): image for image in images}
    assert {
        key: tuple((mask.instance.class_name, mask.instance.box) for mask in image.masks)
        for key, image in found.items()
    } == {key: tuple((name, Box(*corners)) for name, corners in boxes) for key, boxes in SCENE.items()}


def test_the_formats_that_lose_nothing_are_those_that_declare_nothing() -> None:
    whole = {name for name, limits in LIMITS.items() if not limits.lossy and not limits.overlaps}
    assert whole == set(LOSSLESS)
    assert LIMITS.keys() == WRITERS.keys()


@pytest.mark.parametrize("source", READERS)
@pytest.mark.parametrize("target", LOSSLESS)
def test_a_lossless_format_gives_back_the_whole_values(tmp_path: Path, source: str, target: str) -> None:
    class_names, images = scene(source, tmp_path / "in")
    with WRITERS[target](tmp_path / "out", class_names) as writer:
        for image in images:
            writer.write(image)
    assert [plain(image) for image in LOSSLESS[target](tmp_path / "out")] == [
        plain(image) for image in images
    ]


@pytest.mark.parametrize("target", LOSSLESS)
def test_a_lossless_format_keeps_ugly_values(tmp_path: Path, target: str) -> None:
    box = Box(-3.7, 0.1, 30.3, 57.123456789)
    proposal = filled_box((WIDTH, HEIGHT), box)
    proposal.mask[:, ::2] = False
    flags = Flags(difficult=True, occluded=True, crowd=True)
    ugly = Instance(box, 'naïve "cat" <&> 🐈', flags, 'i,d "7"')
    mask = InstanceMask(ugly, proposal, 0.1234)
    clean = replace(
        mask, instance=replace(ugly, flags=Flags(truncated=True), id="", box=Box(0.5, 1, 9.25, 30))
    )
    small = replace(clean, proposal=filled_box((WIDTH, HEIGHT), clean.instance.box))
    image = MaskedImage("sub folder/ä & b?", "sub folder/ä & b?.jpg", WIDTH, HEIGHT, (mask, small))
    with WRITERS[target](tmp_path, [ugly.class_name]) as writer:
        writer.write(image)
    assert writer.losses.keys() == ({BRIDGED_PARTS} if target == "labelstudio-polygons" else set())
    (found,) = LOSSLESS[target](tmp_path)
    assert found.key == image.key
    if target.startswith("coco"):  # which keeps x, y, width and height: the right edge but for rounding
        assert [entry.instance.box.x1 for entry in found.masks] == pytest.approx([30.3, 9.25], abs=1e-12)
        boxes = (entry.instance.box for entry in image.masks)
        found = replace(
            found,
            masks=tuple(
                replace(entry, instance=replace(entry.instance, box=box))
                for entry, box in zip(found.masks, boxes, strict=True)
            ),
        )
    assert plain(found) == plain(image)


def read_png(path: Path) -> NDArray[np.uint32]:
    with Image.open(path) as image:
        return np.asarray(image).astype(np.uint32)


@pytest.mark.parametrize("source", READERS)
@pytest.mark.parametrize("target", ["voc", "coco-panoptic", "semantic", "cityscapes"])
def test_a_flat_format_gives_back_what_lies_on_top(tmp_path: Path, source: str, target: str) -> None:
    class_names, images = scene(source, tmp_path / "in")
    out = tmp_path / "out"
    with WRITERS[target](out, class_names) as writer:
        for image in images:
            writer.write(image)
    for image in images:
        indices = {name: index for index, name in enumerate(class_names, start=1)}
        maps = compose(WIDTH, HEIGHT, image.masks, indices)
        objects = maps.objects.astype(np.uint32)
        if target == "voc":
            assert (read_png(out / "SegmentationClass" / f"{image.key}.png") == maps.classes).all()
            assert (read_png(out / "SegmentationObject" / f"{image.key}.png") == objects).all()
        elif target == "coco-panoptic":
            colours = read_png(out / "panoptic" / f"{image.key}.png")
            assert (colours @ np.array([1, 256, 65536], dtype=np.uint32) == objects).all()
        elif target == "semantic":
            assert (read_png(out / "masks" / f"{image.key}.png") == maps.classes).all()
        else:
            ids = read_png(out / "gtFine" / f"{image.key}_gtFine_instanceIds.png")
            assert (ids // 1000 == maps.classes).all()
            assert len(np.unique(ids)) == len(np.unique(objects))
            assert len(set(zip(ids.ravel(), objects.ravel(), strict=True))) == len(np.unique(ids))


@pytest.mark.parametrize("source", READERS)
@pytest.mark.parametrize("target", ["yolo", "yolo-split"])
def test_yolo_gives_back_the_pixels_of_each_line(tmp_path: Path, source: str, target: str) -> None:
    class_names, images = scene(source, tmp_path / "in")
    with WRITERS[target](tmp_path / "out", class_names) as writer:
        for image in images:
            writer.write(image)
    for image in images:
        lines = (tmp_path / "out" / "labels" / f"{image.key}.txt").read_text().splitlines()
        filled: dict[str, NDArray[np.uint32]] = {}
        for line in lines:
            index, *values = line.split()
            points = np.array(values, dtype=np.float64).reshape(-1, 2) * (WIDTH, HEIGHT)
            canvas = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
            cv2.fillPoly(canvas, [points.astype(np.int32)], 1)
            name = class_names[int(index)]
            filled[name] = filled.get(name, np.zeros((HEIGHT, WIDTH), dtype=np.uint32)) + canvas
        expected: dict[str, NDArray[np.uint32]] = {}
        for mask in image.masks:
            name = mask.instance.class_name
            full = np.zeros((HEIGHT, WIDTH), dtype=np.uint32)
            full[mask.proposal.window.slices()] = mask.proposal.mask
            expected[name] = expected.get(name, np.zeros_like(full)) + full
        assert filled.keys() == expected.keys()
        bridge_pixels = 0 if target == "yolo-split" else 4
        for name, pixels in expected.items():
            assert (filled[name] >= pixels).all()
            assert int((filled[name] - pixels).sum()) <= bridge_pixels
