"""Datasets as they come: each ugly thing as a real file, through the real command, to its promised end."""

from __future__ import annotations

import io
import json
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from pycocotools import mask as coco_mask

from boxmask_core.palette import decode_label_map
from tests.e2e.processes import BOXMASK, ENVIRONMENT

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# pycocotools under numpy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

DISC = (40, 20, 100, 80)
"""x0, y0, x1, y1 of the disc in `_disc`."""


def _boxmask(*arguments: str | Path, status: int = 0) -> str:
    """Runs the command; returns what it said."""
    done = subprocess.run(
        [BOXMASK, *map(str, arguments)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == status, done.stderr + done.stdout
    return done.stdout


class Coco:
    """A COCO dataset that is written entry by entry, whatever they hold."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "annotations").mkdir(parents=True)
        (root / "images").mkdir()
        self.content: dict[str, Any] = {
            "images": [],
            "categories": [{"id": 1, "name": "thing"}],
            "annotations": [],
        }

    def image(self, name: str, content: bytes, size: tuple[int, int], **fields: object) -> int:
        place = self.root / "images" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        identity = len(self.content["images"]) + 1
        entry = {"id": identity, "file_name": name, "width": size[0], "height": size[1]}
        self.content["images"].append(entry | fields)
        return identity

    def box(self, image: int, corners: tuple[float, float, float, float], **fields: object) -> None:
        x0, y0, x1, y1 = corners
        entry = {"id": len(self.content["annotations"]) + 1, "image_id": image, "category_id": 1}
        self.content["annotations"].append(entry | {"bbox": [x0, y0, x1 - x0, y1 - y0]} | fields)

    def convert(self, out: Path, *options: str, target: str = "coco", status: int = 0) -> Converted:
        (self.root / "annotations/instances.json").write_text(json.dumps(self.content))
        return _converted(self.root, out, *options, target=target, status=status)


class Converted:
    """What a conversion wrote."""

    def __init__(self, out: Path, told: str) -> None:
        self.out = out
        self.told = told
        self.summary = json.loads((out / "summary.json").read_text())
        lines = (out / "errors.jsonl").read_text().splitlines()
        self.errors = {(line["key"], line["box"], line["kind"]) for line in map(json.loads, lines)}

    def instances(self) -> dict[str, list[dict[str, Any]]]:
        """COCO's annotations by name of the image, with the mask decoded by pycocotools."""
        content = json.loads((self.out / "instances.json").read_text())
        names = {image["id"]: image["file_name"] for image in content["images"]}
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in names.values()}
        for annotation in content["annotations"]:
            runs = annotation["segmentation"]
            annotation["mask"] = coco_mask.decode(
                {"size": runs["size"], "counts": runs["counts"].encode()}
            ).astype(bool)
            found[names[annotation["image_id"]]].append(annotation)
        return found


def _converted(
    data: Path, out: Path, *options: str, target: str = "coco", status: int = 0, method: str = "box"
) -> Converted:
    told = _boxmask("convert", data, out, "--to", target, "--method", method, *options, status=status)
    return Converted(out, told)


def _bounds(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    bounds = Image.fromarray(mask).getbbox()
    assert bounds is not None
    return bounds


def _jpeg(image: Image.Image, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    return _encoded(image, "JPEG", exif=exif, quality=95)


def _encoded(image: Image.Image, format_name: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format_name, **options)
    return out.getvalue()


def _bar() -> Image.Image:
    """A white bar on black, 60 x 40 pixels, that looks different from every side."""
    image = Image.new("RGB", (60, 40))
    image.paste((255, 255, 255), (30, 8, 52, 14))
    return image


def test_boxes_are_masked_upright_whatever_exif_says(tmp_path: Path) -> None:
    data = Coco(tmp_path / "data")
    expected = {}
    for orientation in range(1, 9):
        content = _jpeg(_bar(), orientation)
        with Image.open(io.BytesIO(content)) as opened:
            upright = np.asarray(ImageOps.exif_transpose(opened).convert("L")) > 128
        bounds = _bounds(upright)
        image = data.image(f"upright{orientation}.jpg", content, upright.shape[::-1])
        data.box(image, bounds)
        expected[f"upright{orientation}.jpg"] = (upright.shape, bounds)
        if orientation > 4:
            image = data.image(f"stored{orientation}.jpg", content, (60, 40))
            data.box(image, (30, 8, 52, 14))
            expected[f"stored{orientation}.jpg"] = (upright.shape, bounds)
    done = data.convert(tmp_path / "out")
    found = {
        name: (masks[0]["mask"].shape, _bounds(masks[0]["mask"])) for name, masks in done.instances().items()
    }
    assert found == expected
    assert done.summary["images_turned"] == 4
    assert done.errors == set()


@pytest.mark.parametrize(
    ("choice", "bounds"), [(None, None), ("scale", (30, 8, 52, 14)), ("image", (60, 16, 60, 28))]
)
def test_another_declared_size_fails_scales_or_is_passed_over(
    tmp_path: Path, choice: str | None, bounds: tuple[int, int, int, int] | None
) -> None:
    data = Coco(tmp_path / "data")
    data.box(data.image("right.jpg", _jpeg(_bar()), (60, 40)), (30, 8, 52, 14))
    wrong = data.image("wrong.jpg", _jpeg(_bar()), (120, 80))
    data.box(wrong, (20, 10, 60, 30))
    data.box(wrong, (60, 16, 104, 28))
    options = [] if choice is None else ["--size-mismatch", choice]
    status = {None: 1, "scale": 0, "image": 1}[choice]
    done = data.convert(tmp_path / "out", *options, status=status)
    masks = done.instances()
    assert _bounds(masks["right.jpg"][0]["mask"]) == (30, 8, 52, 14)
    if choice is None:
        assert done.errors == {("wrong", None, "size_mismatch")}
        assert "wrong.jpg" not in masks
    elif choice == "scale":
        assert [_bounds(each["mask"]) for each in masks["wrong.jpg"]] == [(10, 5, 30, 15), bounds]
        assert done.summary["images_rescaled"] == 1
    else:
        # As it is, the second box begins where the image ends.
        assert [_bounds(each["mask"]) for each in masks["wrong.jpg"]] == [(20, 10, 60, 30)]
        assert done.errors == {("wrong", "3", "box_outside_image")}


def _voc(root: Path, key: str, objects: str, size: tuple[int, int] = (60, 40)) -> None:
    for folder in ("Annotations", "JPEGImages"):
        (root / folder / key).parent.mkdir(parents=True, exist_ok=True)
    (root / "JPEGImages" / f"{key}.jpg").write_bytes(_jpeg(_bar()))
    (root / "Annotations" / f"{key}.xml").write_text(
        f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{objects}</annotation>",
        encoding="utf-8",
    )


def _object(name: str, corners: tuple[float, float, float, float], more: str = "") -> str:
    tags = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    box = "".join(f"<{tag}>{value}</{tag}>" for tag, value in tags)
    return f"<object><name>{name}</name>{more}<bndbox>{box}</bndbox></object>"


@pytest.mark.parametrize(
    ("smallest", "bounds", "word"), [(1, (9, 4, 30, 20), "1-based"), (0, (10, 5, 30, 20), "0-based")]
)
def test_vocs_origin_is_told_by_the_smallest_coordinate(
    tmp_path: Path, smallest: int, bounds: tuple[int, int, int, int], word: str
) -> None:
    _voc(tmp_path / "data", "a", _object("cat", (10, 5, 30, 20)))
    _voc(tmp_path / "data", "b", _object("cat", (smallest, smallest, 30, 20)))
    done = _converted(tmp_path / "data", tmp_path / "out")
    assert _bounds(done.instances()["a.jpg"][0]["mask"]) == bounds
    (note,) = done.summary["notes"]
    assert word in note
    assert "below 1" in note
    assert note in done.told


def _disc(background: int, foreground: int, shift: int = 0) -> NDArray[np.int64]:
    """A disc, (100, 140), of one value on another."""
    rows, columns = np.mgrid[:100, :140]
    inside = (rows - 49.5) ** 2 + (columns - 69.5 - shift) ** 2 <= 30**2
    return np.where(inside, foreground, background)


def _layouts() -> dict[str, tuple[bytes, str]]:
    """The dark disc on light ground in every layout of pixels, and Pillow's name of the layout.

    What is transparent is black underneath, so that it shows only laid over white; what has 16 bits has no
    value under 256, so that it is all white where it is cut off instead of scaled.
    """
    grey = Image.fromarray(_disc(230, 40).astype(np.uint8))
    alpha = Image.fromarray(_disc(0, 255).astype(np.uint8))
    black = Image.new("L", grey.size, 0)
    deep = Image.fromarray(_disc(60000, 9000).astype(np.uint16))
    palette = Image.fromarray(_disc(0, 1).astype(np.uint8)).convert("P")
    palette.putpalette([0, 0, 0, 30, 30, 30])
    other = Image.fromarray(_disc(230, 40, shift=30).astype(np.uint8)).convert("RGB")
    more = {"save_all": True, "append_images": [other]}
    return {
        "grey.jpg": (_encoded(grey, "JPEG"), "L"),
        "la.png": (_encoded(Image.merge("LA", (black, alpha)), "PNG"), "LA"),
        "palette.png": (_encoded(palette, "PNG", transparency=0), "P"),
        "rgba.png": (_encoded(Image.merge("RGBA", (black, black, black, alpha)), "PNG"), "RGBA"),
        "cmyk.jpg": (_encoded(grey.convert("RGB").convert("CMYK"), "JPEG"), "CMYK"),
        "deep.png": (_encoded(deep, "PNG"), "I;16"),
        "deep.tif": (_encoded(deep, "TIFF"), "I;16"),
        "film.webp": (_encoded(grey.convert("RGB"), "WEBP", lossless=True, **more), "RGBA"),
        "pages.tif": (_encoded(grey.convert("RGB"), "TIFF", **more), "RGB"),
    }


def test_every_layout_of_pixels_becomes_rgb_and_is_named(tmp_path: Path) -> None:
    data = Coco(tmp_path / "data")
    modes: dict[str, int] = {}
    for name, (content, mode) in _layouts().items():
        unique = f"{name.replace('.', '_')}/{name}"  # deep.png and deep.tif would share a key
        data.box(data.image(unique, content, (140, 100)), DISC)
        modes[mode] = modes.get(mode, 0) + 1
    (data.root / "annotations/instances.json").write_text(json.dumps(data.content))
    done = _converted(data.root, tmp_path / "out", method="grabcut")
    assert done.errors == set()
    disc = _disc(0, 1) > 0
    for name, (found,) in done.instances().items():
        union = np.count_nonzero(found["mask"] | disc)
        assert np.count_nonzero(found["mask"] & disc) / union > 0.9, name
    assert done.summary["modes"] == dict(sorted(modes.items()))
    assert done.summary["images_of_several_frames"] == 2
    assert "CMYK" in (done.out / "report.html").read_text()


def test_boxes_that_reach_out_are_clipped_and_bad_ones_fail_alone(tmp_path: Path) -> None:
    data = Coco(tmp_path / "data")
    image = data.image("a.jpg", _jpeg(_bar()), (60, 40))
    data.box(image, (-20, -10, 30, 20))
    data.box(image, (100, 100, 120, 120))
    data.box(image, (10, 10, 10, 30))
    data.box(image, (30, 30, 10, 20))
    data.box(image, (5, 5, float("nan"), 20))
    data.box(image, (5, 5, float("inf"), 20))
    data.box(image, (30, 8, 52, 14))
    done = data.convert(tmp_path / "out", status=1)
    assert [_bounds(each["mask"]) for each in done.instances()["a.jpg"]] == [(0, 0, 30, 20), (30, 8, 52, 14)]
    assert done.errors == {
        ("a", "2", "box_outside_image"),
        *(("a", identity, "degenerate_box") for identity in "34"),
        *(("a", identity, "nan_box") for identity in "56"),
    }


def test_ids_are_read_leniently_and_written_from_one_and_complete(tmp_path: Path) -> None:
    data = Coco(tmp_path / "data")
    data.content["categories"] = [
        {"id": 90, "name": "late"},
        {"id": 0, "name": "zero"},
        {"id": 17, "name": "mid"},
    ]
    first = data.image("a.jpg", _jpeg(_bar()), (60, 40), id=0)
    second = data.image("b.jpg", _jpeg(_bar()), (60, 40), id=1000)
    assert (first, second) == (1, 2)  # what the dataset would have called them
    for image, category, identity in ((0, 90, 5), (0, 0, 5), (1000, 17, 0), (1000, 90, None)):
        data.box(image, (10 + category / 10, 5, 30, 20), category_id=category, id=identity)
    done = data.convert(tmp_path / "out")
    content = json.loads((done.out / "instances.json").read_text())
    assert [image["id"] for image in content["images"]] == [1, 2]
    assert [each["id"] for each in content["categories"]] == [1, 2, 3]
    names = {each["id"]: each["name"] for each in content["categories"]}
    found = [(each["id"], each["image_id"], names[each["category_id"]]) for each in content["annotations"]]
    assert found == [(1, 1, "late"), (2, 1, "zero"), (3, 2, "mid"), (4, 2, "late")]
    masks = [each for entries in done.instances().values() for each in entries]
    assert all(each["area"] == np.count_nonzero(each["mask"]) for each in masks)
    assert all(each["iscrowd"] == 0 for each in masks)
    assert done.errors == set()
    _boxmask("check", done.out)


def test_images_of_one_id_are_refused_by_name(tmp_path: Path) -> None:
    """Whose the boxes are cannot be told."""
    data = Coco(tmp_path / "data")
    for name in ("a.jpg", "b.jpg"):
        data.image(name, _jpeg(_bar()), (60, 40), id=1)
    data.box(1, (10, 5, 30, 20))
    data.box(data.image("c.jpg", _jpeg(_bar()), (60, 40)), (10, 5, 30, 20))
    done = data.convert(tmp_path / "out", status=1)
    assert done.errors == {("a.jpg", None, "bad_annotation"), ("b.jpg", None, "bad_annotation")}
    assert list(done.instances()) == ["c.jpg"]


LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a0 "lol">'
    + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))
    + "]><annotation><object><name>&a9;</name></object></annotation>"
)


def test_xml_is_read_by_name_from_direct_children_and_defused(tmp_path: Path) -> None:
    root = tmp_path / "data"
    corners = "<xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax>"
    part = f"<part><name>head</name><bndbox>{corners}</bndbox></part>"
    _voc(root, "part", _object("cat", (10, 5, 30, 20), more=part))
    reversed_tags = "<ymax>20</ymax><xmax>30</xmax><ymin>5</ymin><xmin>10</xmin>"
    _voc(root, "order", f"<object><bndbox>{reversed_tags}</bndbox><name>cat</name></object>")
    _voc(root, "entity", _object("cat &amp; d&#246;g", (10, 5, 30, 20)))
    _voc(root, "own", "")
    _voc(root, "laughs", "")
    own = '<!DOCTYPE a [<!ENTITY who "cat">]><annotation>' + _object("&who;", (1, 1, 9, 9)) + "</annotation>"
    (root / "Annotations/own.xml").write_text(own)
    (root / "Annotations/laughs.xml").write_text(LAUGHS)
    done = _converted(root, tmp_path / "out", status=1)
    assert done.errors == {("own", None, "bad_annotation"), ("laughs", None, "bad_annotation")}
    bounds = {name: [_bounds(each["mask"]) for each in found] for name, found in done.instances().items()}
    assert bounds == {name: [(9, 4, 30, 20)] for name in ("entity.jpg", "order.jpg", "part.jpg")}
    assert set(done.summary["classes"]) == {"cat", "cat & dög"}


NAMES = (
    "one/a.jpg",
    "two/a.jpg",
    "grüße/日本.jpg",
    "with space/and more.jpg",
    "dots.in.it/a.b.c.jpg",
    f"{'long' * 50}.jpg",
)


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("voc", "SegmentationClass/{}.png"),
        ("yolo", "labels/{}.txt"),
        ("labelme", "labelme/{}.json"),
        ("cityscapes", "gtFine/{}_gtFine_labelIds.png"),
    ],
)
def test_names_are_kept_as_they_are(tmp_path: Path, target: str, place: str) -> None:
    data = Coco(tmp_path / "data")
    for number, name in enumerate(NAMES):
        data.box(data.image(name, _jpeg(_bar()), (60, 40)), (10 + number, 5, 30, 20))
    done = data.convert(tmp_path / "out", "--allow-lossy", target=target)
    assert all((done.out / place.format(name.removesuffix(".jpg"))).is_file() for name in NAMES)
    assert done.summary["images_converted"] == len(NAMES)
    assert str(len(NAMES)) in _boxmask("check", done.out, "--against", data.root)


@pytest.mark.parametrize("target", ["coco", "voc"])
def test_two_images_of_one_key_are_refused(tmp_path: Path, target: str) -> None:
    data = Coco(tmp_path / "data")
    data.box(data.image("a.jpg", _jpeg(_bar()), (60, 40)), (10, 5, 30, 20))
    data.box(data.image("a.png", _encoded(_bar(), "PNG"), (60, 40)), (10, 5, 30, 20))
    data.box(data.image("b.jpg", _jpeg(_bar()), (60, 40)), (10, 5, 30, 20))
    done = data.convert(tmp_path / "out", target=target, status=1)
    assert done.errors == {("a.png", None, "key_collision")}
    assert "share the key 'a'" in (done.out / "errors.jsonl").read_text()
    assert done.summary["images_converted"] == 2
    assert "key_collision: 1" in _boxmask("plan", data.root, "--to", target, "--no-trial", status=1)


def test_more_than_254_instances_make_16_bit_maps_and_it_is_said(tmp_path: Path) -> None:
    data = Coco(tmp_path / "data")
    image = data.image("crowd.png", _encoded(Image.new("RGB", (400, 40)), "PNG"), (400, 40))
    for number in range(300):
        data.box(
            image,
            (4 * (number % 100), 12 * (number // 100), 4 * (number % 100) + 3, 12 * (number // 100) + 9),
        )
    done = data.convert(tmp_path / "out", target="voc")
    objects = decode_label_map((done.out / "SegmentationObject/crowd.png").read_bytes())
    classes = decode_label_map((done.out / "SegmentationClass/crowd.png").read_bytes())
    assert objects.dtype == np.uint16
    assert classes.dtype == np.uint8
    assert np.unique(objects).tolist() == list(range(301))
    with Image.open(done.out / "SegmentationObject/crowd.png") as opened:
        assert opened.mode == "I;16"
    assert "16-bit" in done.told
    _boxmask("check", done.out)


def test_more_than_254_classes_make_16_bit_maps_and_it_is_said(tmp_path: Path) -> None:
    data = Coco(tmp_path / "data")
    data.content["categories"] = [{"id": number, "name": f"class {number}"} for number in range(1, 301)]
    image = data.image("zoo.png", _encoded(Image.new("RGB", (400, 40)), "PNG"), (400, 40))
    for number in (1, 254, 255, 256, 300):
        data.box(image, (number, 5, number + 1, 20), category_id=number)
    done = data.convert(tmp_path / "out", target="voc")
    classes = decode_label_map((done.out / "SegmentationClass/zoo.png").read_bytes())
    assert classes.dtype == np.uint16
    assert {int(classes[10, number]) for number in (1, 254, 255, 256, 300)} == {1, 254, 255, 256, 300}
    assert "16-bit" in done.told
    _boxmask("check", done.out)
    _boxmask("convert", data.root, tmp_path / "no", "--to", "semantic", "--method", "box", status=2)
    assert not (tmp_path / "no").exists()
