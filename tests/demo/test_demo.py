"""The demo's boxes, and the demo."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from boxmask_core.boxes import Box
from boxmask_core.formats import open_dataset
from boxmask_core.instances import ImageRecord
from boxmask_core.palette import decode_indexed_png
from demo.make_dataset import PHOTOGRAPHS, make_dataset
from demo.run import main
from tests.bundles import write_tiny_bundle

if TYPE_CHECKING:
    from pathlib import Path


def _overlap(first: Box, second: Box) -> bool:
    return first.x0 < second.x1 and second.x0 < first.x1 and first.y0 < second.y1 and second.y0 < first.y1


def test_the_reader_finds_the_boxes_that_were_drawn(tmp_path: Path) -> None:
    dataset = open_dataset(make_dataset(tmp_path))
    records = [record for record in dataset if isinstance(record, ImageRecord)]
    read = {
        record.key: [(instance.class_name, instance.box) for instance in record.instances]
        for record in records
    }
    drawn = {
        key: [(name, Box(*corners)) for name, corners in photograph.boxes]
        for key, photograph in PHOTOGRAPHS.items()
    }
    assert read == drawn
    for record in records:
        with Image.open(record.path) as image:
            assert record.declared_size == image.size
            boxes = [instance.box for instance in record.instances]
            assert all(box == box.clipped(*image.size) for box in boxes)


def test_there_are_several_classes_and_boxes_that_overlap() -> None:
    assert len({name for photograph in PHOTOGRAPHS.values() for name, _ in photograph.boxes}) > 5
    overlapping = [
        key
        for key, photograph in PHOTOGRAPHS.items()
        if any(_overlap(Box(*a), Box(*b)) for (_, a), (_, b) in combinations(photograph.boxes, 2))
    ]
    assert len(overlapping) >= 3


@pytest.mark.slow
def test_the_demo_ends_with_masks_and_a_report(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo-out"
    assert main(out, write_tiny_bundle(tmp_path / "tiny")) == 0
    for key in PHOTOGRAPHS:
        labels = decode_indexed_png((out / "voc" / "SegmentationClass" / f"{key}.png").read_bytes())
        assert labels.any()
        assert decode_indexed_png((out / "labels" / f"{key}.png").read_bytes()).shape == labels.shape
    assert (out / "coco" / "instances.json").is_file()
    assert (out / "voc" / "report.html").as_uri() in capfd.readouterr().out
