"""Where a reproduction works, on what, and how its commands are placed on the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from boxmask_training.reproduce.step import Files

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_training.run import Accelerator, Precision

CHECKPOINT_EVERY: Final = "50"
"""Steps between checkpoints: what a killed run loses at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a reproduction works, and on what.

    Attributes:
        data: Folder in the layout of VOC 2012.
        out: Folder of all that is made.
        cfs_bundle: Bundle whose CFS makes the pseudo-labels; None to train one.
        device: Where networks run.
        precision: Of the arithmetic of training.
        threads: Threads of one step.
    """

    data: Path
    out: Path
    cfs_bundle: Path | None = None
    device: Accelerator = "auto"
    precision: Precision = "32-true"
    threads: int = 1

    def image_set(self, name: str) -> Path:
        """Returns the file that lists the images of an image set."""
        return self.data / "ImageSets" / "Segmentation" / f"{name}.txt"

    @property
    def images(self) -> Path:
        """Folder of the photographs."""
        return self.data / "JPEGImages"

    @property
    def truth(self) -> Path:
        """Folder of the true label maps of the images to evaluate on."""
        return self.data / "SegmentationClass"

    @property
    def running(self) -> tuple[str, ...]:
        """Options of the commands that run networks without training them."""
        return ("--device", self.device, "--workers", str(self.threads))

    @property
    def training(self) -> tuple[str, ...]:
        """Options of the commands that train."""
        placement = ("--accelerator", self.device, "--precision", self.precision)
        return (*placement, "--checkpoint-every", CHECKPOINT_EVERY)

    def boxes(self, image_set: str) -> Files:
        """Returns the photographs and the boxes of an image set."""
        return Files(self.image_set(image_set), (self.images, self.data / "Annotations"))
