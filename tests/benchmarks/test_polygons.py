"""What is compared are true masks, and both sides are read by the rule of those who read them."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from benchmarks.polygons import __main__ as polygons
from benchmarks.polygons.experiments import Experiments
from benchmarks.polygons.fidelity import Shape, iou, row, shape_of
from benchmarks.polygons.generated import Ellipse, random_ellipses, write_folder
from benchmarks.polygons.reading import yolo_masks
from benchmarks.polygons.sides import Ours, finish, rows
from benchmarks.polygons.true_masks import true_masks
from benchmarks.polygons.ways import full_masks, our_ways, their_ways
from boxmask_core.boxes import Box, Window
from boxmask_core.formats import open_dataset
from boxmask_core.formats.voc import VOC_CLASSES
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.instances import Instance, InstanceMask, MaskedImage

if TYPE_CHECKING:
    from numpy.typing import NDArray

CAT, DOG = VOC_CLASSES.index("cat") + 1, VOC_CLASSES.index("dog") + 1
VOID = 255
ULTRALYTICS = "BOXMASK_ULTRALYTICS"
OBJECT = (
    "<object><name>{name}</name><bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax>"
    "</bndbox></object>"
)


def _voc(root: Path, boxes: dict[str, tuple[int, int, int, int]], **maps: NDArray[np.uint8]) -> Path:
    """Writes a VOC folder of one image; boxes are 1-based and inclusive, maps go by their folder."""
    objects = "".join(OBJECT.format(*box, name=name) for name, box in boxes.items())
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main", *maps):
        (root / folder).mkdir(parents=True)
    (root / "Annotations" / "one.xml").write_text(
        f"<annotation><filename>one.jpg</filename>{objects}</annotation>"
    )
    (root / "ImageSets" / "Main" / "val.txt").write_text("one\n")
    height, width = next(iter(maps.values())).shape
    Image.new("RGB", (width, height)).save(root / "JPEGImages" / "one.jpg")
    for folder, pixels in maps.items():
        Image.fromarray(pixels).save(root / folder / "one.png")
    return root


def _classes() -> NDArray[np.uint8]:
    """A cat with a void rim, a dog beside it."""
    classes = np.zeros((40, 60), dtype=np.uint8)
    classes[8:30, 4:28] = VOID
    classes[10:28, 6:26] = CAT
    classes[10:20, 40:55] = DOG
    return classes


def test_objects_are_recovered_from_classes_and_boxes(tmp_path: Path) -> None:
    boxes = {"cat": (7, 11, 26, 28), "dog": (41, 11, 55, 20)}
    (image,) = true_masks(_voc(tmp_path, boxes, SegmentationClass=_classes()), "val")
    found = dict(zip((mask.instance.class_name for mask in image.masks), full_masks(image), strict=True))
    np.testing.assert_array_equal(found["cat"], _classes() == CAT)
    np.testing.assert_array_equal(found["dog"], _classes() == DOG)


def test_stray_pixels_are_no_object(tmp_path: Path) -> None:
    classes = np.zeros((40, 60), dtype=np.uint8)
    classes[0, 0] = classes[39, 59] = CAT
    root = _voc(tmp_path, {"cat": (1, 1, 60, 40)}, SegmentationClass=classes)
    assert list(true_masks(root, "val")) == []


def test_an_object_map_is_taken_at_its_word(tmp_path: Path) -> None:
    objects = np.where(_classes() == VOID, VOID, 0).astype(np.uint8)
    objects[10:28, 6:26] = 3
    objects[10:12, 50:55] = 1
    classes = _classes()
    root = _voc(tmp_path, {"cat": (1, 1, 2, 2)}, SegmentationClass=classes, SegmentationObject=objects)
    (image,) = true_masks(root, "val")
    assert [mask.instance.class_name for mask in image.masks] == ["dog", "cat"]
    assert image.masks[1].instance.box == Box(6, 10, 26, 28)
    np.testing.assert_array_equal(full_masks(image)[0], objects == 1)


@pytest.mark.parametrize("seed", range(4))
def test_parts_and_holes_are_scipys(seed: int) -> None:
    mask = np.random.default_rng(seed).random((12, 15)) < 0.6
    _, parts = ndimage.label(mask, structure=np.ones((3, 3)))
    _, background = ndimage.label(~np.pad(mask, 1))
    assert shape_of(mask) == Shape(parts, background - 1)


def test_a_full_mask_has_no_hole() -> None:
    assert shape_of(np.ones((4, 4), dtype=np.bool_)) == Shape(1, 0)


def test_labels_are_read_as_ultralytics_fills_them(tmp_path: Path) -> None:
    """Decimals are cut off, and edges are filled: from (1, 1) to (3, 2) are six pixels."""
    file = tmp_path / "a.txt"
    file.write_text("0 0.19 0.19 0.39 0.19 0.39 0.29 0.19 0.29\n")
    (mask,) = yolo_masks(file, height=10, width=10)
    expected = np.zeros((10, 10), dtype=np.bool_)
    expected[1:3, 1:4] = True
    np.testing.assert_array_equal(mask, expected)


def _image(pixels: NDArray[np.bool_]) -> MaskedImage:
    height, width = pixels.shape
    window = Window(2, 3, 2 + width, 3 + height)
    instance = Instance(Box(window.x0, window.y0, window.x1, window.y1), "cat")
    mask = InstanceMask(instance, Proposal(window, pixels, Fallback.NONE), 1.0)
    return MaskedImage("a", "a.jpg", 60, 50, (mask,))


def test_what_each_of_our_ways_keeps_of_two_parts_and_a_hole(tmp_path: Path) -> None:
    pixels = np.zeros((30, 40), dtype=np.bool_)
    pixels[0:20, 0:20] = True
    pixels[6:14, 6:14] = False
    pixels[24:30, 30:40] = True
    (true,) = full_masks(_image(pixels))
    kept = {way: iou(mask, true) for way, (mask,) in our_ways([_image(pixels)], ["cat"], tmp_path).items()}
    assert kept["coco-polygons"] == kept["labelstudio-polygons"] == 1
    assert kept["labelme-polygons"] > 0.97, "likewise: the hole's bridge"
    assert kept["yolo-split"] > 0.97, "the hole's bridge alone is lost"
    assert kept["yolo-largest"] == pytest.approx(kept["yolo-split"] - 60 / pixels.sum(), abs=0.02)
    assert kept["yolo-largest"] < kept["yolo"] < kept["yolo-split"]


def test_a_row_tells_the_hard_masks_from_the_others() -> None:
    told = row("way", [1.0, 0.5, 0.8], [Shape(1, 0), Shape(1, 2), Shape(3, 0)])
    assert told == {
        "masks through": "way",
        "masks": 3,
        "mean IoU": "0.7667",
        "worst": "0.5000",
        "below 0.9": "0.6667",
        "exact": "0.3333",
        "with holes": "0.5000",
        "of several parts": "0.8000",
        "of one part, no hole": "1.0000",
    }


def test_ratios_are_of_what_is_lost() -> None:
    ours, theirs = np.array([1.0, 0.9, 0.8]), np.array([0.9, 0.7, 0.8])
    shapes = [Shape(1, 0), Shape(1, 1), Shape(2, 0)]
    ratios = polygons.error_ratios(ours, theirs, shapes)
    assert ratios == pytest.approx(
        {"error_over_ours": 2.0, "error_over_ours_holes": 3.0, "error_over_ours_parts": 1.0}
    )


def test_without_ultralytics_its_side_is_left_out_aloud(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    boxes = {"cat": (7, 11, 26, 28), "dog": (41, 11, 55, 20)}
    root = _voc(tmp_path, boxes, SegmentationClass=_classes())
    assert polygons.main(["--data", str(root)]) == 0
    told = capsys.readouterr()
    assert "--ultralytics PYTHON" in told.err
    result = json.loads(told.out.splitlines()[-1])
    assert {entry["masks through"]: entry["mean IoU"] for entry in result["rows"]}["yolo"] == "1.0000"
    assert result["ratios"] == {}


def test_generated_folders_are_datasets_of_their_boxes(tmp_path: Path) -> None:
    shown = random_ellipses(3)
    write_folder(tmp_path, {f"{place}/same": [ellipse] for place, ellipse in enumerate(shown)}, frozenset())
    found = {}
    for record in open_dataset(tmp_path):
        (instance,) = record.instances  # type: ignore[union-attr]  # nothing is wrong with an annotation here
        found[record.key] = instance.box
    for place, ellipse in enumerate(shown):
        box = found[f"{place}/same"]
        np.testing.assert_allclose((box.x0, box.y0, box.x1, box.y1), ellipse.box, atol=1e-5)


def test_our_side_is_the_command_and_is_asked_nothing_twice(tmp_path: Path) -> None:
    ellipse = Ellipse(40, 40, 15, 12)
    write_folder(tmp_path, {"a": [ellipse], "b": [ellipse]}, frozenset())
    first = finish(Ours("box"), tmp_path)
    assert (first.status, first.asked) == (0, 2), first.told
    assert {name: len(lines) for name, lines in rows(Ours("box"), tmp_path).items()} == {"a": 1, "b": 1}
    again = finish(Ours("box"), tmp_path)
    assert (again.status, again.asked) == (0, 0), again.told


@pytest.fixture
def ultralytics() -> Path:
    """A Python that has ultralytics, from the environment; tests that use it are skipped without it."""
    place = os.environ.get(ULTRALYTICS)
    if not place:
        pytest.skip(f"set {ULTRALYTICS} to a Python that has ultralytics to run this")
    return Path(place)


def test_ultralytics_reads_our_labels_to_the_pixels_that_are_read_here(
    ultralytics: Path, tmp_path: Path
) -> None:
    pixels = np.zeros((30, 40), dtype=np.bool_)
    pixels[0:20, 0:20] = pixels[24:30, 30:40] = True
    pixels[6:14, 6:14] = False
    image = _image(pixels)
    (tmp_path / "photographs").mkdir()
    Image.new("RGB", (image.width, image.height)).save(tmp_path / "photographs" / "a.jpg")
    ways = our_ways([image], ["cat"], tmp_path)
    labels = tmp_path / "yolo" / "labels"
    read, version = their_ways([image], ["cat"], tmp_path / "photographs", labels, ultralytics)
    assert version
    np.testing.assert_array_equal(read["ours"][0], ways["yolo"][0])
    (true,) = full_masks(image)
    assert iou(read["theirs"][0], true) < 0.95, "the hole is filled"


def test_experiments_that_fail_say_what_was_told(tmp_path: Path) -> None:
    class Broken(Ours):
        def command(self, folder: Path) -> list[str]:
            return ["sh", "-c", f"echo cannot start in {folder.name}; exit 7"]

    with pytest.raises(SystemExit, match="cannot start in killed"):
        Experiments(Broken(), tmp_path, 4).killed()
