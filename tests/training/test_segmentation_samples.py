from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from boxmask_core.errors import BoxmaskError, DatasetError, TrainingError
from boxmask_core.formats.voc import VocDataset
from boxmask_core.palette import VOID, encode_indexed_png
from boxmask_core.segmentation import PADDING_COLOUR
from boxmask_training.lgsa_settings import LgsaSettings
from boxmask_training.segmentation_samples import (
    SegmentationDataset,
    find_samples,
    padded,
    random_crop,
    scaled,
)
from tests.training.shapes import SIDE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.training.shapes import Shapes

SETTINGS = LgsaSettings(
    backbone="efficientnet_lite0", weights="none", crop=61, output_stride=16, score_stride=4
)


def dataset(shapes: Shapes, settings: LgsaSettings = SETTINGS) -> SegmentationDataset:
    return SegmentationDataset(find_samples(VocDataset(shapes.voc), shapes.truth), 3, settings)


def test_a_folder_of_maps_a_voc_folder_and_both_of_its_parts_are_read(shapes: Shapes, tmp_path: Path) -> None:
    """An image that both parts have takes VOC's own map, which is the finer one."""
    images = VocDataset(shapes.voc)
    direct = find_samples(images, shapes.truth)
    assert [sample.labels.name for sample in direct[:2]] == ["shape00.png", "shape01.png"]
    assert find_samples(images, shapes.voc) == direct
    own, augmented = tmp_path / "SegmentationClass", tmp_path / "SegmentationClassAug"
    own.mkdir()
    augmented.mkdir()
    for sample in direct:
        (augmented / sample.labels.name).write_bytes(sample.labels.read_bytes())
    (own / "shape00.png").write_bytes(direct[0].labels.read_bytes())
    both = find_samples(images, tmp_path)
    assert [sample.labels.parent.name for sample in both[:3]] == [own.name, augmented.name, augmented.name]
    assert [sample.digest for sample in both] == [sample.digest for sample in direct]


def test_images_without_a_map_are_named(shapes: Shapes, tmp_path: Path) -> None:
    (tmp_path / "shape00.png").write_bytes((shapes.truth / "shape00.png").read_bytes())
    with pytest.raises(DatasetError, match=r"15 images have no label map, first: shape01\.png"):
        find_samples(VocDataset(shapes.voc), tmp_path)


def test_an_annotation_that_cannot_be_read_stops_the_run(shapes: Shapes, tmp_path: Path) -> None:
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "broken.xml").write_text("<annotation>", encoding="utf-8")
    with pytest.raises(DatasetError, match="broken"):
        find_samples(VocDataset(tmp_path), shapes.truth)


def test_a_sample_depends_on_seed_epoch_and_index_alone(shapes: Shapes) -> None:
    first = dataset(shapes)
    image, labels = first[(3, 5)]
    assert image.shape == (3, 64, 64)
    assert labels.shape == (64, 64)
    assert image.dtype == labels.dtype == torch.uint8
    again = dataset(shapes)
    again[(0, 0)]
    assert torch.equal(again[(3, 5)][0], image)
    for other in (first[(4, 5)], dataset(shapes, replace(SETTINGS, seed=1))[(3, 5)]):
        assert not torch.equal(other[0], image)


def test_image_and_labels_go_through_the_same_scale_crop_and_flip(shapes: Shapes) -> None:
    """The objects of the scene are brighter than its background: the map must say where."""
    samples = dataset(shapes)
    agreed = []
    for index in range(len(samples)):
        image, labels = samples[(0, index)]
        brightness, known = image.float().mean(0), labels != VOID
        foreground = (labels > 0) & known
        agreed.append(((brightness > 112) == foreground)[known].float().mean())
    assert float(torch.stack(agreed).mean()) > 0.97


def test_what_reaches_beyond_the_image_is_void_and_has_the_mean_colour(shapes: Shapes) -> None:
    small = dataset(shapes, replace(SETTINGS, crop=SIDE, scale_min=0.5, scale_max=0.5))
    image, labels = small[(0, 0)]
    assert (labels[:, SIDE // 2 :] == VOID).all()
    assert (labels[SIDE // 2 :] == VOID).all()
    assert not (labels[: SIDE // 2, : SIDE // 2] == VOID).any()
    assert image[:, -1, -1].tolist() == list(PADDING_COLOUR)


def test_scaling_keeps_label_indices_as_they_are() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(np.array([0, 7, VOID], dtype=np.uint8), size=(31, 17))
    for scale in (0.01, 0.5, 0.77, 1.0, 1.5):
        image, resized = scaled(np.zeros((31, 17, 3), dtype=np.uint8), labels, scale)
        assert image.shape[:2] == resized.shape == (max(1, round(31 * scale)), max(1, round(17 * scale)))
        assert set(np.unique(resized)) <= {0, 7, VOID}


def test_every_crop_can_come_and_a_short_axis_stays_whole() -> None:
    labels = np.arange(40, dtype=np.uint8).reshape(4, 10)
    image = np.repeat(labels[:, :, None], 3, axis=2)
    rng = np.random.default_rng(0)
    corners = set()
    for _ in range(200):
        cut, map_ = random_crop(image, labels, 6, rng)
        assert map_.shape == (4, 6)
        assert np.array_equal(cut[:, :, 0], map_)
        corners.add(int(map_[0, 0]))
    assert corners == {0, 1, 2, 3, 4}


def test_a_crop_that_fits_is_not_padded() -> None:
    image, labels = np.ones((8, 8, 3), dtype=np.uint8), np.ones((8, 8), dtype=np.uint8)
    assert np.array_equal(padded(image, labels, 8)[0], image)
    assert np.array_equal(padded(image, labels, 8)[1], labels)


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (np.zeros((SIDE, SIDE - 1), dtype=np.uint8), r"of the image's size .* but got \(96, 95\)"),
        (np.full((SIDE, SIDE), 3, dtype=np.uint8), "below 3 or 255 for void, but got 3"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(
    labels: np.ndarray[tuple[int, int], np.dtype[np.uint8]], problem: str, shapes: Shapes, tmp_path: Path
) -> None:
    sample = find_samples(VocDataset(shapes.voc), shapes.truth)[0]
    broken = tmp_path / "shape00.png"
    broken.write_bytes(encode_indexed_png(labels))
    with pytest.raises(TrainingError, match=problem):
        SegmentationDataset([replace(sample, labels=broken)], 3, SETTINGS)[(0, 0)]


def test_a_map_that_is_no_png_is_refused(shapes: Shapes, tmp_path: Path) -> None:
    sample = find_samples(VocDataset(shapes.voc), shapes.truth)[0]
    broken = tmp_path / "shape00.png"
    broken.write_bytes(b"not a png")
    with pytest.raises(BoxmaskError):
        SegmentationDataset([replace(sample, labels=broken)], 3, SETTINGS)[(0, 0)]
