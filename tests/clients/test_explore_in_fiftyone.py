"""Masks of a conversion can be sorted by trust in FiftyOne, and what was tagged there is told."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from boxmask_core.boxes import Box, Window
from boxmask_core.formats.coco_masks import CocoMaskWriter
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.instances import Flags, Instance, InstanceMask, MaskedImage
from boxmask_core.rle import decode_rle
from tests.clients import fiftyone_stand_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

EXAMPLE = Path(__file__).parents[2] / "clients" / "examples" / "explore_in_fiftyone.py"
HEIGHT, WIDTH = 37, 53
QUALITIES = {"sub dir/kätzchen.jpg": (0.9, 0.25), "b.png": (0.5, 0.75, 0.125)}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of images, one of them below another folder."""
    for name in QUALITIES:
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(path)
    return tmp_path / "images"


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Masks of random pixels, as ``boxmask convert --to coco`` writes them."""
    rng = np.random.default_rng(0)
    out = tmp_path / "masks"
    out.mkdir()
    with CocoMaskWriter(out, ["cat", "dog"]) as writer:
        for name, qualities in QUALITIES.items():
            found = []
            for place, quality in enumerate(qualities):
                x, y = 3 + 7 * place, 5 + 9 * place
                window = Window(x, y, x + 20, y + 11)
                proposal = Proposal(window, rng.random((11, 20)) < 0.5, Fallback.SMALL_MASK)
                box = Box(x + 0.25, y, x + 20, y + 11)
                flags = Flags(difficult=place == 1)
                found.append(InstanceMask(Instance(box, "dog", flags, f"no. {place}"), proposal, quality))
            key = Path(name).with_suffix("").as_posix()
            writer.write(MaskedImage(key, name, WIDTH, HEIGHT, tuple(found)))
    return out


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, Path, Path], None]:
    """The example's ``main``, with the stand-in in FiftyOne's place."""
    monkeypatch.setitem(sys.modules, "fiftyone", fiftyone_stand_in)
    main: Callable[[Path, Path, Path], None] = runpy.run_path(str(EXAMPLE))["main"]
    return main


def test_the_least_trusted_come_first_and_what_was_tagged_is_listed(
    example: Callable[[Path, Path, Path], None],
    masks: Path,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    to_fix = Path("to_fix.jsonl")
    example(masks.relative_to(tmp_path), images.relative_to(tmp_path), to_fix)
    told = [json.loads(line) for line in to_fix.read_text(encoding="utf-8").splitlines()]
    found = {(line["image"], line["id"]): line["quality"] for line in told}
    assert found == {
        ("b.png", "no. 2"): 0.125,
        ("sub dir/kätzchen.jpg", "no. 1"): 0.25,
        ("b.png", "no. 0"): 0.5,
    }
    assert {(line["class"], line["fallback"]) for line in told} == {("dog", "small_mask")}
    assert capsys.readouterr().out == "3 masks to fix, listed in to_fix.jsonl\n"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools under numpy 2
def test_fiftyone_itself_reads_masks_and_attributes(masks: Path, images: Path) -> None:
    """Its importer needs no database."""
    coco = pytest.importorskip("fiftyone.utils.coco", reason="FiftyOne is not installed")
    importer = coco.COCODetectionDatasetImporter(
        data_path=str(images),
        labels_path=str(masks / "instances.json"),
        label_types=["segmentations"],
        extra_attrs=True,
    )
    importer.setup()
    content = json.loads((masks / "instances.json").read_bytes())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    written: dict[str, list[dict[str, Any]]] = {name: [] for name in names.values()}
    for annotation in content["annotations"]:
        written[names[annotation["image_id"]]].append(annotation)
    read = {Path(path).relative_to(images).as_posix(): label.detections for path, _, label in importer}
    assert read.keys() == written.keys()
    for name, detections in read.items():
        for detection, annotation in zip(detections, written[name], strict=True):
            np.testing.assert_array_equal(_placed(detection), _decoded(annotation))
            for attribute in ("quality", "fallback", "source_id", "box", "iscrowd"):
                assert detection[attribute] == annotation[attribute]
            assert detection["difficult"] is annotation["attributes"]["difficult"]


def _placed(detection: Any) -> NDArray[np.bool_]:
    x, y = round(detection.bounding_box[0] * WIDTH), round(detection.bounding_box[1] * HEIGHT)
    height, width = detection.mask.shape
    whole = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    whole[y : y + height, x : x + width] = detection.mask
    return whole


def _decoded(annotation: dict[str, Any]) -> NDArray[np.bool_]:
    return decode_rle(annotation["segmentation"]["counts"].encode(), HEIGHT, WIDTH)
