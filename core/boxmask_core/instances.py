"""What a dataset says of an image, and what boxmask answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_core.boxes import Box
    from boxmask_core.grabcut import Proposal
    from boxmask_core.palette import LabelArray
    from boxmask_core.quality import Signals


@dataclass(frozen=True, slots=True)
class Flags:
    """What the annotator noted of an object.

    Attributes:
        difficult: Hard to recognise; evaluation may leave it out (VOC).
        truncated: The box ends before the object does (VOC).
        occluded: Something covers a part of it (VOC).
        crowd: The box holds a group, not one object (COCO ``iscrowd``).
    """

    difficult: bool = False
    truncated: bool = False
    occluded: bool = False
    crowd: bool = False


@dataclass(frozen=True, slots=True)
class Instance:
    """One object: its box, its class, its flags, its id.

    Attributes:
        box: As annotated; it may reach beyond the image.
        class_name: Name of its class.
        flags: What the annotator noted.
        id: The dataset's id of the object, or its 0-based place among the image's objects.
    """

    box: Box
    class_name: str
    flags: Flags = field(default_factory=Flags)
    id: str = ""


@dataclass(frozen=True, slots=True)
class BoxIssue:
    """A box that cannot become an instance; it is reported, never dropped silently.

    Attributes:
        id: The dataset's id of the object, or its 0-based place among the image's objects.
        class_name: Name of its class, empty if that is what is missing.
        problem: The rule it breaks, with the value.
    """

    id: str
    class_name: str
    problem: str


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image of a dataset and its boxes.

    Attributes:
        key: The image's path relative to the dataset's image folder, without suffix, with ``/`` between
            folders. Unique in the dataset; outputs are named after it.
        path: The image file.
        instances: Its objects, in the dataset's order.
        issues: Boxes that cannot become instances.
        declared_size: ``(width, height)`` that the dataset declares, or None where it declares none.
    """

    key: str
    path: Path
    instances: tuple[Instance, ...]
    issues: tuple[BoxIssue, ...] = ()
    declared_size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class InstanceMask:
    """The answer for one instance.

    Attributes:
        instance: The question.
        proposal: Its mask, cropped to the box, and the fallback that gave it.
        quality: How far the mask can be trusted, 0 to 1; see `boxmask_core.quality`.
        signals: What the quality was judged by, or None where that is not known, as in most files.
    """

    instance: Instance
    proposal: Proposal
    quality: float
    signals: Signals | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class MaskedImage:
    """The answer for one image.

    Attributes:
        key: As in `ImageRecord`.
        file_name: Path of the image relative to the dataset's image folder, with its suffix.
        width: Width of the EXIF-oriented image, pixels.
        height: Height likewise.
        masks: One per instance, in the dataset's order.
    """

    key: str
    file_name: str
    width: int
    height: int
    masks: tuple[InstanceMask, ...]


@dataclass(frozen=True, slots=True)
class LabelMaps:
    """The flat form of one image's masks; in both maps 0 is the background.

    Attributes:
        classes: ``(H, W)``: class index; uint8 with 255 void, or uint16 with 65535 void.
        objects: ``(H, W)``: 1-based place of the instance; uint8 or uint16 with void alike.
    """

    classes: LabelArray
    objects: LabelArray
