"""What a conversion is going to do, known and said before it begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from boxmask_core.errors import DatasetError
from boxmask_core.formats import open_dataset

if TYPE_CHECKING:
    from boxmask_convert.settings import Settings
    from boxmask_core.formats.interface import DetectionDataset


@dataclass(frozen=True, slots=True)
class Plan:
    """A dataset that was opened, and what is to become of it.

    Attributes:
        settings: What was asked for.
        dataset: The images and boxes.
    """

    settings: Settings
    dataset: DetectionDataset

    def __len__(self) -> int:
        """Number of images to convert."""
        limit = self.settings.limit
        return len(self.dataset) if limit is None else min(limit, len(self.dataset))

    def describe(self, labeler: str) -> str:
        """Returns the plan in lines for the user.

        Args:
            labeler: Who makes the masks.
        """
        settings = self.settings
        split = f", split {settings.split}" if settings.split else ""
        lines = [
            f"from    {settings.data}{split}: {len(self)} images, {len(self.dataset.class_names)} classes",
            f"masks   {method_name(settings)}, by {labeler}",
            f"to      {settings.out} ({settings.target})",
            *(f"note    {note}" for note in self.dataset.notes),
        ]
        return "".join(f"{line}\n" for line in lines)


def make_plan(settings: Settings) -> Plan:
    """Opens the dataset.

    Raises:
        DatasetError: It is not there, not of a known format, or empty.
    """
    dataset = open_dataset(
        settings.data,
        split=settings.split,
        format=settings.source,
        voc_origin=settings.voc_origin,
        images=settings.images,
    )
    if len(dataset) == 0:
        raise DatasetError(settings.data, "holds no annotated image; check the path and --split")
    return Plan(settings, dataset)


def method_name(settings: Settings) -> str:
    """Returns the method in words."""
    by = " (OpenCV's)" if settings.grabcut_engine == "opencv" else ""
    if settings.method == "cfs":
        return f"CFS, refined by GrabCut{by}" if settings.refine else "CFS, not refined"
    return {"box": "filled boxes", "grabcut": f"GrabCut from the box{by}"}[settings.method]
