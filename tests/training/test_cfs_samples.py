from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from boxmask_core.boxes import Box, Window
from boxmask_core.errors import TrainingError
from boxmask_core.formats.coco_masks import CocoMasks, CocoMaskWriter
from boxmask_core.grabcut import Fallback, Proposal
from boxmask_core.instances import Flags, Instance, InstanceMask, MaskedImage
from boxmask_core.rle import encode_rle
from boxmask_training.cfs_samples import CfsDataset, Sample, select_samples, target_in_crop
from boxmask_training.cfs_settings import CfsSettings
from boxmask_training.sampling import EpochBatches
from tests.clients.scenes import png
from tests.training.shapes import CLASS_NAMES, SETTINGS, shapes_job

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.training.shapes import Shapes

PLAIN = replace(SETTINGS, augment=False, class_dropout=0.0)


@given(
    size=st.sampled_from([8, 32]),
    shrink=st.booleans(),
    place=st.tuples(*[st.integers(-20, 40)] * 2),
    margins=st.tuples(*[st.integers(0, 9)] * 4),
    seed=st.integers(0, 2**31),
)
def test_a_target_is_the_proposals_share_of_every_pixel(
    size: int, shrink: bool, place: tuple[int, int], margins: tuple[int, int, int, int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    sides = rng.integers(size, 3 * size, 2) if shrink else rng.integers(1, max(size - 20, 2), 2)
    inner = Window(*place, place[0] + int(sides[0]), place[1] + int(sides[1]))
    left, top, right, bottom = margins
    window = Window(inner.x0 - left, inner.y0 - top, inner.x1 + right, inner.y1 + bottom)
    mask = rng.random((inner.height, inner.width)) < 0.6
    sample = Sample(
        Path("nowhere.png"), Box(inner.x0, inner.y0, inner.x1, inner.y1), 0, inner, encode_rle(mask)
    )
    full = np.zeros((window.height, window.width))
    full[inner.relative_to(window).slices()] = mask
    if shrink != (window.width > size) or shrink != (window.height > size):
        return  # one axis shrinks and one grows: OpenCV has no exact answer there
    expected = 255 * _shares(window.height, size) @ full @ _shares(window.width, size).T
    found = target_in_crop(sample, window, size)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found, expected, atol=1.01)


def test_outside_the_box_the_target_is_background(shapes: Shapes, tmp_path: Path) -> None:
    dataset = CfsDataset(shapes_job(shapes, tmp_path).samples, 2, PLAIN)
    for index in range(len(dataset)):
        _, box_mask, _, target = dataset[0, index]
        outside = torch.nn.functional.max_pool2d(box_mask.float(), 3, stride=1, padding=1)[0] == 0
        assert target[outside].max() == 0
        assert target.max() == 255


def test_tensors_are_what_the_network_takes(shapes: Shapes, tmp_path: Path) -> None:
    job = shapes_job(shapes, tmp_path)
    pixels, box_mask, label, target = CfsDataset(job.samples, 2, PLAIN)[0, 3]
    assert (pixels.shape, pixels.dtype) == ((3, 32, 32), torch.uint8)
    assert (box_mask.shape, box_mask.dtype) == ((1, 32, 32), torch.uint8)
    assert set(box_mask.flatten().tolist()) == {0, 1}
    assert (target.shape, target.dtype) == ((32, 32), torch.uint8)
    expected = torch.zeros(2)
    expected[job.samples[3].class_index] = 1
    assert torch.equal(label, expected)


def test_the_same_epoch_and_index_give_the_same_tensors_in_any_worker(shapes: Shapes, tmp_path: Path) -> None:
    dataset = CfsDataset(shapes_job(shapes, tmp_path).samples, 2, SETTINGS)
    batches = EpochBatches(len(dataset), 4, seed=0)
    batches.start(1)
    alone = list(DataLoader(dataset, batch_sampler=batches))
    shared = list(DataLoader(dataset, batch_sampler=batches, num_workers=2))
    assert len(alone) == len(shared) == 4
    for first, second in zip(alone, shared, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_epochs_vary_a_sample(shapes: Shapes, tmp_path: Path) -> None:
    dataset = CfsDataset(shapes_job(shapes, tmp_path).samples, 2, SETTINGS)
    seen = {dataset[epoch, 0][0].numpy().tobytes() for epoch in range(5)}
    assert len(seen) == 5
    plain = CfsDataset(dataset.samples, 2, PLAIN)
    assert torch.equal(plain[0, 0][0], plain[1, 0][0])


@pytest.mark.parametrize(("dropout", "share"), [(0.0, 1.0), (1.0, 0.0), (0.5, 0.5)])
def test_class_dropout_empties_that_share_of_labels(
    shapes: Shapes, tmp_path: Path, dropout: float, share: float
) -> None:
    settings = replace(SETTINGS, class_dropout=dropout)
    dataset = CfsDataset(shapes_job(shapes, tmp_path).samples, 2, settings)
    known = [float(dataset[epoch, index][2].sum()) for epoch in range(8) for index in range(len(dataset))]
    assert set(known) <= {0.0, 1.0}
    assert np.mean(known) == pytest.approx(share, abs=0.15)


def test_image_box_and_target_turn_together(tmp_path: Path) -> None:
    """The mask is what is bright in the image, and the box is tight: the three must always agree."""
    mask = np.tri(60, 60, dtype=np.bool_)
    image = np.zeros((100, 100, 3), dtype=np.uint8)
    image[20:80, 20:80][mask] = 200
    (tmp_path / "a.png").write_bytes(png(image))
    window = Window(20, 20, 80, 80)
    sample = Sample(tmp_path / "a.png", Box(20, 20, 80, 80), 0, window, encode_rle(mask))
    dataset = CfsDataset([sample], 2, replace(SETTINGS, size=64))
    left_heavy = set()
    for epoch in range(12):
        pixels, box_mask, _, target = (tensor.numpy() for tensor in dataset[epoch, 0])
        level = pixels.mean(axis=0)
        bright = level > (level.min() + level.max()) / 2
        assert np.mean(bright == (target > 127)) > 0.98
        np.testing.assert_allclose(_bounds(target > 127), _bounds(box_mask[0] > 0), atol=1)
        half = target.shape[1] // 2
        left_heavy.add(bool(target[:, :half].sum() > target[:, half:].sum()))
    assert left_heavy == {True, False}


def test_a_box_beyond_the_image_is_clipped_before_it_is_expanded(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(np.full((100, 100, 3), 255, dtype=np.uint8)))
    window = Window(50, 0, 100, 100)
    sample = Sample(
        tmp_path / "a.png", Box(50, -30, 140, 130), 0, window, encode_rle(np.ones((100, 50), bool))
    )
    pixels, box_mask, _, target = CfsDataset([sample], 2, replace(PLAIN, size=96))[0, 0]
    assert _bounds(box_mask[0].numpy() > 0) == pytest.approx((16, 16, 80, 80), abs=1)
    assert _bounds(target.numpy() > 127) == pytest.approx((16, 16, 80, 80), abs=1)
    assert _bounds(pixels[2].numpy() > 180) == pytest.approx((0, 16, 80, 80), abs=1)  # the rest is padding


class TestSelection:
    @pytest.fixture
    def masks(self, tmp_path: Path) -> CocoMasks:
        full, half = np.ones((60, 60), dtype=np.bool_), np.zeros((60, 60), dtype=np.bool_)
        half[:, :30] = True
        box = Box(10, 10, 70, 70)
        with CocoMaskWriter(tmp_path, CLASS_NAMES) as writer:
            for key, answer in {
                "a/good": _answer(box, full),
                "b/crowd": _answer(box, full, flags=Flags(crowd=True)),
                "c/small": _answer(Box(10, 10, 70, 59), full[:49]),
                "d/just_large_enough": _answer(Box(10, 10, 70, 60), full[:50]),
                "e/stand_in": _answer(box, full, fallback=Fallback.SMALL_MASK),
                "f/shrunk_box": _answer(box, full, fallback=Fallback.BOX_COVERS_IMAGE),
                "g/loose": _answer(box, half),
                "h/square": _answer(box, full, name="square"),
                "i/held_out": _answer(box, full),
            }.items():
                writer.write(MaskedImage(key, f"{key}.jpg", 100, 90, (answer,)))
        return CocoMasks(tmp_path)

    def test_every_box_left_out_is_counted_under_its_reason(self, masks: CocoMasks, tmp_path: Path) -> None:
        settings = CfsSettings(min_tightness=0.7, trust_fallbacks=False)
        selection = select_samples(
            masks, tmp_path, CLASS_NAMES, settings, without_images=["i/held_out"], without_classes=["square"]
        )
        kept = [sample.image.relative_to(tmp_path).with_suffix("").as_posix() for sample in selection.samples]
        assert kept == ["a/good", "d/just_large_enough", "f/shrunk_box"]
        assert selection.left_out == {
            "held_out_image": 1, "held_out_class": 1, "crowd": 1, "small": 1, "fallback": 1, "not_tight": 1,
        }  # fmt: skip

    def test_the_papers_settings_leave_out_only_what_is_small_or_a_crowd(
        self, masks: CocoMasks, tmp_path: Path
    ) -> None:
        selection = select_samples(masks, tmp_path, CLASS_NAMES, CfsSettings())
        assert len(selection.samples) == 7
        assert {why for why, count in selection.left_out.items() if count} == {"crowd", "small"}

    def test_a_sample_holds_its_box_class_and_mask(self, masks: CocoMasks, tmp_path: Path) -> None:
        samples = {
            sample.image.stem: sample
            for sample in select_samples(masks, tmp_path, CLASS_NAMES, CfsSettings()).samples
        }
        assert samples["square"].class_index == 1
        assert samples["loose"].box == Box(10, 10, 70, 70)
        assert samples["loose"].window == Window(10, 10, 70, 70)
        target = target_in_crop(samples["loose"], samples["loose"].window, 60)
        assert (target[:, :30] == 255).all()
        assert (target[:, 30:] == 0).all()

    def test_nothing_left_is_an_error_with_the_reasons(self, masks: CocoMasks, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match=r"no box is left.*'small': 8.*lower min_side"):
            select_samples(masks, tmp_path, CLASS_NAMES, CfsSettings(min_side=1000))

    def test_a_class_outside_the_list_is_named(self, masks: CocoMasks, tmp_path: Path) -> None:
        with pytest.raises(
            TrainingError, match=r"h/square\.jpg: the class 'square' is not in the class list"
        ):
            select_samples(masks, tmp_path, ["disc"], CfsSettings())


def _answer(
    box: Box,
    mask: NDArray[np.bool_],
    *,
    name: str = "disc",
    flags: Flags | None = None,
    fallback: Fallback = Fallback.NONE,
) -> InstanceMask:
    return InstanceMask(
        Instance(box, name, flags or Flags(), "0"), Proposal(box.window(), mask, fallback), 1.0
    )


def _shares(length: int, size: int) -> NDArray[np.float64]:
    """How much of each of ``size`` equal parts of a line each of its ``length`` pixels covers."""
    part = length / size
    starts, pixels = np.arange(size)[:, None] * part, np.arange(length)[None]
    overlap = np.minimum(starts + part, pixels + 1) - np.maximum(starts, pixels)
    return np.asarray(overlap.clip(0) / part)


def _bounds(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
