"""LGSA-DeepLab's training samples: images and their label maps, scaled, flipped, cropped."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from boxmask_core.errors import DatasetError, TrainingError
from boxmask_core.images import decode
from boxmask_core.instances import ImageRecord
from boxmask_core.palette import VOID, decode_indexed_png
from boxmask_core.segmentation import PADDING_COLOUR

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.random import Generator
    from numpy.typing import NDArray
    from torch import Tensor

    from boxmask_core.formats.interface import DetectionDataset
    from boxmask_training.lgsa_settings import LgsaSettings

LABEL_FOLDERS = ("SegmentationClass", "SegmentationClassAug")
"""Where VOC 2012 and its SBD augmentation keep label maps; the first that has an image's map is taken, for
VOC's own maps are the finer ones."""


@dataclass(frozen=True, slots=True)
class SegmentationSample:
    """One image and its label map.

    Attributes:
        image: The image file.
        labels: The label map, an indexed PNG.
        digest: Hex digest of the label map's bytes.
    """

    image: Path
    labels: Path
    digest: str


def find_samples(dataset: DetectionDataset, labels: Path) -> tuple[SegmentationSample, ...]:
    """Pairs the images of a dataset with their label maps.

    Args:
        dataset: The images.
        labels: Folder of ``KEY.png``, or a folder with VOC's ``SegmentationClass``, its augmented
            ``SegmentationClassAug`` or both, such as VOC2012 itself or what ``boxmask convert --to voc``
            writes.

    Raises:
        DatasetError: An annotation cannot be read, or a label map is missing.
    """
    folders = [folder for name in LABEL_FOLDERS if (folder := labels / name).is_dir()] or [labels]
    samples, missing = [], []
    for record in dataset:
        if not isinstance(record, ImageRecord):
            raise DatasetError(record.path, record.problem)
        found = next((path for folder in folders if (path := folder / f"{record.key}.png").is_file()), None)
        if found is None:
            missing.append(record.key)
        else:
            digest = hashlib.sha256(found.read_bytes()).hexdigest()
            samples.append(SegmentationSample(record.path, found, digest))
    if missing:
        raise DatasetError(
            labels, f"{len(missing)} images have no label map, first: {missing[0]}.png; convert them too"
        )
    return tuple(samples)


class SegmentationDataset(Dataset[tuple["Tensor", "Tensor"]]):
    """Samples as tensors.

    Indexed by ``(epoch, index)``: chance depends on seed, epoch and index alone, so that any worker makes
    the same sample and a resumed run sees what an unbroken one does.

    Args:
        samples: Images and label maps.
        num_classes: Number of classes, the background included.
        settings: Says how samples are varied.
    """

    def __init__(
        self, samples: Sequence[SegmentationSample], num_classes: int, settings: LgsaSettings
    ) -> None:
        self.samples = samples
        self.num_classes = num_classes
        self.settings = settings

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Makes one sample.

        Args:
            key: ``(epoch, index)``.

        Returns:
            RGB, uint8 ``(3, S, S)``; class indices, uint8 ``(S, S)``, 255 void. S is the padded crop.

        Raises:
            TrainingError: The label map does not fit the image, or holds an index that is no class.
        """
        epoch, index = key
        sample, settings = self.samples[index], self.settings
        rng = np.random.default_rng((settings.seed, epoch, index))
        image = decode(sample.image.read_bytes(), what=str(sample.image))
        labels = decode_indexed_png(sample.labels.read_bytes())
        self._check(sample, image, labels)
        scale = rng.uniform(settings.scale_min, settings.scale_max)
        image, labels = scaled(image, labels, scale)
        image, labels = random_crop(image, labels, settings.crop, rng)
        if rng.random() < 0.5:
            image, labels = image[:, ::-1], labels[:, ::-1]
        image, labels = padded(image, labels, settings.padded_crop)
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))), torch.from_numpy(labels)

    def _check(self, sample: SegmentationSample, image: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        if labels.shape != image.shape[:2]:
            raise TrainingError(
                f"{sample.labels}: expected a label map of the image's size (height, width) "
                f"{image.shape[:2]}, but got {labels.shape}"
            )
        largest = int(labels[labels != VOID].max(initial=0))
        if largest >= self.num_classes:
            raise TrainingError(
                f"{sample.labels}: expected class indices below {self.num_classes} or {VOID} for void, but "
                f"got {largest}; give the dataset that the label maps were made from"
            )


def scaled(
    image: NDArray[np.uint8], labels: NDArray[np.uint8], scale: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Scales an image smoothly and its label map by nearest neighbour.

    Args:
        image: uint8 RGB, ``(H, W, 3)``.
        labels: uint8 class indices, ``(H, W)``.
        scale: Factor of both axes.
    """
    height, width = labels.shape
    size = max(1, round(width * scale)), max(1, round(height * scale))
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return (
        cv2.resize(image, size, interpolation=smooth).astype(np.uint8),
        cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.uint8),
    )


def random_crop(
    image: NDArray[np.uint8], labels: NDArray[np.uint8], side: int, rng: Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Cuts out a square; an axis that is shorter stays whole."""
    height, width = labels.shape
    top = int(rng.integers(0, max(height - side, 0) + 1))
    left = int(rng.integers(0, max(width - side, 0) + 1))
    where = (slice(top, top + side), slice(left, left + side))
    return image[where], labels[where]


def padded(
    image: NDArray[np.uint8], labels: NDArray[np.uint8], side: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Extends to a square at the right and at the bottom, with the mean colour and void."""
    height, width = labels.shape
    canvas = np.empty((side, side, 3), dtype=np.uint8)
    canvas[:] = PADDING_COLOUR
    canvas[:height, :width] = image
    map_ = np.full((side, side), VOID, dtype=np.uint8)
    map_[:height, :width] = labels
    return canvas, map_
