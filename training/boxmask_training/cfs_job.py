"""What a run of CFS is made of."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from boxmask_core.errors import TrainingError

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_training.cfs_samples import Sample
    from boxmask_training.cfs_settings import CfsSettings
    from boxmask_training.run import Accelerator, Precision
    from boxmask_training.validation import HeldOut


@dataclass(frozen=True, slots=True, kw_only=True)
class CfsJob:
    """Everything a run is made of.

    Attributes:
        settings: How to train.
        samples: What to train on.
        class_names: Classes of the class vector.
        out: Folder of the run: checkpoints and TensorBoard log.
        training_data: What the samples are, for people; it travels into the bundle.
        held_out: What to judge checkpoints by after each epoch; None keeps the last one.
        accelerator: Fabric's.
        devices: Fabric's: ``auto`` or a number per node; under ``torchrun``, ``auto`` is what it started.
        precision: Fabric's.
        workers: Processes that load samples; 0 loads them in the training process.
        checkpoint_every: Steps between checkpoints inside an epoch; one is always written at its end.
        progress: Whether a progress bar is shown.
    """

    settings: CfsSettings
    samples: tuple[Sample, ...]
    class_names: tuple[str, ...]
    out: Path
    training_data: str
    held_out: HeldOut | None = None
    accelerator: Accelerator = "auto"
    devices: str = "auto"
    precision: Precision = "32-true"
    workers: int = 1
    checkpoint_every: int = 200
    progress: bool = True

    def __post_init__(self) -> None:
        if self.checkpoint_every < 1:
            raise TrainingError(
                f"expected checkpoint_every to be at least 1, but got {self.checkpoint_every}"
            )
        if self.workers < 0:
            raise TrainingError(f"expected workers to be at least 0, but got {self.workers}")

    @property
    def task(self) -> str:
        """Name of what is trained."""
        return "cfs"

    @property
    def seed(self) -> int:
        """Seed of everything."""
        return self.settings.seed

    def digest(self) -> str:
        """Returns a digest of what the run's numbers depend on: settings, classes, samples."""
        digest = hashlib.sha256(
            json.dumps([asdict(self.settings), self.class_names], sort_keys=True).encode()
        )
        for sample in self.samples:
            place = (sample.image.name, sample.box, sample.class_index, sample.window)
            digest.update(repr(place).encode())
            digest.update(sample.rle)
        return digest.hexdigest()

    def description(self) -> dict[str, Any]:
        """Returns the settings and what is trained on."""
        return {**asdict(self.settings), "training_data": self.training_data}
