"""What a run of LGSA-DeepLab is made of."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from boxmask_training.setting_rules import require

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_training.lgsa_settings import LgsaSettings
    from boxmask_training.run import Accelerator, Precision
    from boxmask_training.segmentation_samples import SegmentationSample


@dataclass(frozen=True, slots=True, kw_only=True)
class LgsaJob:
    """Everything a run is made of.

    Attributes:
        settings: How to train.
        samples: What to train on.
        class_names: Classes of the label maps; the first has index 1.
        out: Folder of the run: checkpoints and TensorBoard log.
        training_data: What the samples are, for people; it travels into the bundle.
        accelerator: Fabric's.
        devices: Fabric's: ``auto`` or a number per node; under ``torchrun``, ``auto`` is what it started.
        precision: Fabric's.
        channels_last: Whether tensors lie in memory with their channels last.
        compile: Whether the network goes through ``torch.compile``.
        workers: Processes that load samples; 0 loads them in the training process.
        checkpoint_every: Steps between checkpoints inside an epoch; one is always written at its end.
        progress: Whether a progress bar is shown.
    """

    settings: LgsaSettings
    samples: tuple[SegmentationSample, ...]
    class_names: tuple[str, ...]
    out: Path
    training_data: str
    accelerator: Accelerator = "auto"
    devices: str = "auto"
    precision: Precision = "32-true"
    channels_last: bool = True
    compile: bool = False
    workers: int = 1
    checkpoint_every: int = 200
    progress: bool = True

    def __post_init__(self) -> None:
        require("checkpoint_every", self.checkpoint_every, self.checkpoint_every >= 1, "at least 1")
        require("workers", self.workers, self.workers >= 0, "at least 0")

    @property
    def task(self) -> str:
        """Name of what is trained."""
        return "lgsa"

    @property
    def seed(self) -> int:
        """Seed of everything."""
        return self.settings.seed

    def digest(self) -> str:
        """Returns a digest of what the run's numbers depend on: settings, classes, images, label maps."""
        pairs = [(sample.image.name, sample.digest) for sample in self.samples]
        facts = json.dumps([asdict(self.settings), self.class_names, pairs], sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()

    def description(self) -> dict[str, Any]:
        """Returns the settings and what is trained on."""
        return {**asdict(self.settings), "training_data": self.training_data}
