"""CFS's training samples: expanded crops, box masks, classes, and proposals as targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from boxmask_core.crops import network_crop
from boxmask_core.errors import TrainingError
from boxmask_core.formats.keys import key_of
from boxmask_core.images import decode
from boxmask_core.quality import STAND_INS, tightness
from boxmask_core.rle import decode_rle, encode_rle
from boxmask_training.cfs_augmentation import jittered_colours, jittered_window

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from boxmask_core.boxes import Box, Window
    from boxmask_core.formats.coco_masks import CocoMasks
    from boxmask_core.instances import InstanceMask
    from boxmask_training.cfs_settings import CfsSettings

REASONS = ("held_out_image", "held_out_class", "crowd", "small", "fallback", "not_tight")
"""Why a box is left out of training; the first that holds is counted."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One box and its proposal.

    Attributes:
        image: The image file.
        box: The object's box.
        class_index: 0-based place of its class in the class vector.
        window: Where the proposal lies in the image.
        rle: The proposal, COCO run-length encoding of the window.
    """

    image: Path
    box: Box
    class_index: int
    window: Window
    rle: bytes


@dataclass(frozen=True, slots=True)
class Selection:
    """The samples of a run, and how many boxes were left out and why."""

    samples: tuple[Sample, ...]
    left_out: dict[str, int]


def select_samples(
    masks: CocoMasks,
    image_root: Path,
    class_names: Sequence[str],
    settings: CfsSettings,
    *,
    without_images: Iterable[str] = (),
    without_classes: Iterable[str] = (),
) -> Selection:
    """Chooses the boxes that a run trains on.

    Args:
        masks: The coarse proposals.
        image_root: Folder of the images.
        class_names: Classes of the class vector.
        settings: Says which boxes are too small or too doubtful.
        without_images: Keys of images that are held out.
        without_classes: Names of classes that are held out.

    Raises:
        TrainingError: An object's class is unknown, or no box is left.
    """
    indices = {name: index for index, name in enumerate(class_names)}
    held_out, unseen = set(without_images), set(without_classes)
    samples: list[Sample] = []
    left_out = dict.fromkeys(REASONS, 0)
    for image in masks.images:
        key = key_of(image.file_name, image.file_name)
        for answer in masks.masks(image):
            instance, proposal = answer.instance, answer.proposal
            box = instance.box.clipped(image.width, image.height)
            if instance.class_name not in indices:
                raise TrainingError(
                    f"{image.file_name}: the class {instance.class_name!r} is not in the class list"
                )
            if key in held_out:
                left_out["held_out_image"] += 1
            elif instance.class_name in unseen:
                left_out["held_out_class"] += 1
            elif (reason := _unfit(answer, box, settings)) is not None:
                left_out[reason] += 1
            else:
                path, rle = image_root / image.file_name, encode_rle(proposal.mask)
                samples.append(Sample(path, box, indices[instance.class_name], proposal.window, rle))
    if not samples:
        raise TrainingError(
            f"no box is left to train on (left out: {left_out}); lower min_side or min_tightness"
        )
    return Selection(tuple(samples), left_out)


def _unfit(answer: InstanceMask, box: Box, settings: CfsSettings) -> str | None:
    """Returns why a box is not trained on, one of `REASONS`, or None if it is."""
    if answer.instance.flags.crowd:
        return "crowd"
    if min(box.width, box.height) < settings.min_side:
        return "small"
    if not settings.trust_fallbacks and answer.proposal.fallback in STAND_INS:
        return "fallback"
    if tightness(answer.proposal.mask) < settings.min_tightness:
        return "not_tight"
    return None


class CfsDataset(Dataset[tuple["Tensor", "Tensor", "Tensor", "Tensor"]]):
    """Samples as tensors.

    Indexed by ``(epoch, index)``: chance depends on seed, epoch and index alone, so that any worker makes
    the same sample and a resumed run sees what an unbroken one does.

    Args:
        samples: The boxes.
        num_classes: Length of the class vector.
        settings: Says how samples are varied.
    """

    def __init__(self, samples: Sequence[Sample], num_classes: int, settings: CfsSettings) -> None:
        self.samples = samples
        self.num_classes = num_classes
        self.settings = settings

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Makes one sample.

        Args:
            key: ``(epoch, index)``.

        Returns:
            I_exp, uint8 ``(3, S, S)``; B_exp, uint8 ``(1, S, S)``; y, float32 ``(num_classes,)``;
            M_exp, uint8 0 to 255 ``(S, S)``.
        """
        epoch, index = key
        sample, size = self.samples[index], self.settings.size
        rng = np.random.default_rng((self.settings.seed, epoch, index))
        image = decode(sample.image.read_bytes(), what=str(sample.image))
        box = sample.box.clipped(image.shape[1], image.shape[0])
        window = jittered_window(box, rng) if self.settings.augment else None
        crop = network_crop(image, box, size, window)
        pixels, box_mask, target = crop.pixels, crop.box_mask, target_in_crop(sample, crop.window, size)
        if self.settings.augment:
            pixels = jittered_colours(pixels, rng)
            if rng.random() < 0.5:
                pixels, box_mask, target = pixels[:, ::-1], box_mask[:, ::-1], target[:, ::-1]
        label = np.zeros(self.num_classes, dtype=np.float32)
        if rng.random() >= self.settings.class_dropout:
            label[sample.class_index] = 1
        return (
            torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))),
            torch.from_numpy(np.ascontiguousarray(box_mask[None])),
            torch.from_numpy(label),
            torch.from_numpy(np.ascontiguousarray(target)),
        )


def target_in_crop(sample: Sample, window: Window, size: int) -> NDArray[np.uint8]:
    """Returns M_exp (equation 1): the proposal in the crop, background outside the box.

    Args:
        sample: The box and its proposal.
        window: What the crop shows; it may reach beyond the image.
        size: Side of the crop, pixels.

    Returns:
        uint8, ``(size, size)``, 0 background to 255 foreground, in between where a pixel is shared.
    """
    mask = decode_rle(sample.rle, sample.window.height, sample.window.width)
    full = np.zeros((window.height, window.width), dtype=np.uint8)
    place = sample.window.relative_to(window)
    seen = place.clipped(window.width, window.height)
    full[seen.slices()] = mask[seen.relative_to(place).slices()].astype(np.uint8) * 255
    return cv2.resize(full, (size, size), interpolation=cv2.INTER_AREA).astype(np.uint8)
