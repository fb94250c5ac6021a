"""A dataset of boxes walked through without a network: what it holds, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from boxmask_convert.images.in_turn import in_turn
from boxmask_convert.images.look import Look, look_at, rule_of_issue, rule_of_record
from boxmask_convert.images.placement import parts_inside
from boxmask_core.checks import rules
from boxmask_core.checks.findings import Findings
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.scratch import FirstHolders

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from boxmask_convert.settings import SizeMismatch
    from boxmask_core.formats.interface import DetectionDataset
    from boxmask_core.images import ImageHeader
    from boxmask_core.instances import ImageRecord, Instance

AHEAD: Final = 16

SIZES: Final = {"small": 32.0**2, "medium": 96.0**2, "large": float("inf")}
"""COCO's classes of size, and the area in square pixels that each stays below."""


@dataclass(slots=True)
class ClassCount:
    """Usable boxes of one class.

    Attributes:
        boxes: How many.
        images: Images with at least one.
        sizes: How many of each size; see `SIZES`.
    """

    boxes: int = 0
    images: int = 0
    sizes: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Survey:
    """What was found; memory does not grow with the dataset.

    Attributes:
        findings: What is wrong.
        images: Images and annotations that were looked at.
        usable_images: Images that a conversion writes.
        boxes: Boxes, as far as annotations could be read.
        usable_boxes: Boxes that a conversion masks.
        classes: By name.
        modes: Images by Pillow's name of their pixel layout.
        formats: Images by file format.
        orientations: Images by EXIF orientation, those that are stored upright left out.
        several_frames: Animations and files of several pages.
        bytes: Bytes of all image files.
        widths: Smallest and largest width of an upright image, pixels.
        heights: Likewise.
    """

    findings: Findings = field(default_factory=Findings)
    images: int = 0
    usable_images: int = 0
    boxes: int = 0
    usable_boxes: int = 0
    classes: dict[str, ClassCount] = field(default_factory=dict)
    modes: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    orientations: Counter[int] = field(default_factory=Counter)
    several_frames: int = 0
    bytes: int = 0
    widths: tuple[int, int] = (0, 0)
    heights: tuple[int, int] = (0, 0)

    @property
    def sizes(self) -> Counter[str]:
        """Usable boxes of each size."""
        total: Counter[str] = Counter()
        for entry in self.classes.values():
            total.update(entry.sizes)
        return total

    def to_json(self) -> dict[str, Any]:
        """Returns the fields of the machine-readable form, but for the findings."""
        return {
            "images": self.images,
            "usable_images": self.usable_images,
            "boxes": self.boxes,
            "usable_boxes": self.usable_boxes,
            "box_sizes": {size: self.sizes[size] for size in SIZES},
            "classes": {
                name: {
                    "boxes": entry.boxes,
                    "images": entry.images,
                    "box_sizes": {size: entry.sizes[size] for size in SIZES},
                }
                for name, entry in self.classes.items()
            },
            "image_bytes": self.bytes,
            "image_widths": list(self.widths),
            "image_heights": list(self.heights),
            "modes": dict(sorted(self.modes.items())),
            "formats": dict(sorted(self.formats.items())),
            "exif_orientations": {str(turn): count for turn, count in sorted(self.orientations.items())},
            "several_frames": self.several_frames,
        }


class Surveyor:
    """Walks through a dataset; iterating yields the records that a conversion writes.

    Args:
        dataset: The dataset.
        count: So many of its images, the first.
        size_mismatch: See `boxmask_convert.settings.Settings`.

    Attributes:
        survey: What was found so far.
    """

    def __init__(self, dataset: DetectionDataset, count: int, size_mismatch: SizeMismatch = "error") -> None:
        self.survey = Survey()
        self._dataset = dataset
        self._count = count
        self._size_mismatch = size_mismatch
        self._contents = FirstHolders()
        self._base_names = FirstHolders()

    def __iter__(self) -> Iterator[ImageRecord]:
        with self._contents, self._base_names:
            for look in self._looks():
                if self._add(look) and not isinstance(look.record, RecordError):
                    yield look.record
        names = self._dataset.class_names
        self.survey.classes = {
            name: self.survey.classes[name]
            for name in dict.fromkeys((*names, *self.survey.classes))
            if name in self.survey.classes
        }

    def _looks(self) -> Iterator[Look]:
        look = partial(look_at, size_mismatch=self._size_mismatch)
        return in_turn(islice(self._dataset, self._count), look, ahead=AHEAD)

    def _add(self, look: Look) -> bool:
        """Counts one record; says whether a conversion writes it."""
        survey, record = self.survey, look.record
        survey.images += 1
        if isinstance(record, RecordError):
            survey.findings.add(rule_of_record(record), record.key, record.problem)
            return False
        survey.boxes += len(record.instances) + len(record.issues)
        for issue in record.issues:
            survey.findings.add(rule_of_issue(issue), f"{record.key}, box {issue.id}", issue.problem)
        self._add_image(record, look)
        if look.problem is not None:
            survey.findings.add(look.problem[0], record.key, look.problem[1])
        if look.place is None or look.header is None:
            return False
        inside, outside = parts_inside(look.place.record, look.header)
        for instance, error in outside:
            survey.findings.add(rules.BOX_OUTSIDE_IMAGE, f"{record.key}, box {instance.id}", str(error))
        if not inside and (outside or record.issues):
            return False
        if not inside:
            survey.findings.add(rules.EMPTY_IMAGE, record.key)
        survey.usable_images += 1
        survey.usable_boxes += len(inside)
        self._add_boxes(record.key, inside, look.header)
        return True

    def _add_image(self, record: ImageRecord, look: Look) -> None:
        survey, findings, header = self.survey, self.survey.findings, look.header
        if (other := self._base_names.claim(record.path.name, record.key)) is not None:
            findings.add(rules.EQUAL_BASE_NAME, record.key, f"as {other}")
        if look.digest and (other := self._contents.claim(look.digest, record.key)) is not None:
            findings.add(rules.DUPLICATE_IMAGE, record.key, f"as {other}")
        survey.bytes += look.bytes
        if header is None:
            return
        survey.modes[header.mode] += 1
        survey.formats[header.format] += 1
        survey.several_frames += header.several_frames
        if header.orientation > 1:
            survey.orientations[header.orientation] += 1
        survey.widths = _stretched(survey.widths, header.width)
        survey.heights = _stretched(survey.heights, header.height)
        if look.place is None:
            return
        size = f"{header.width} x {header.height}"
        told = "declared {} x {}, the image has {}".format(*(record.declared_size or (0, 0)), size)
        if look.place.turned:
            findings.add(rules.TURNED_BOXES, record.key, told)
        if look.place.rescaled:
            findings.add(rules.RESCALED_BOXES, record.key, told)
        elif look.place.mismatch:
            findings.add(rules.UNSCALED_BOXES, record.key, told)

    def _add_boxes(self, key: str, instances: Iterable[Instance], header: ImageHeader) -> None:
        findings, classes = self.survey.findings, self.survey.classes
        seen: set[object] = set()
        names = set()
        for instance in instances:
            where, box = f"{key}, box {instance.id}", instance.box
            clipped = box.clipped(header.width, header.height)
            if (instance.class_name, box) in seen:
                findings.add(rules.DUPLICATE_BOX, where, instance.class_name)
            seen.add((instance.class_name, box))
            if clipped != box:
                corners = f"x0={box.x0:g} y0={box.y0:g} x1={box.x1:g} y1={box.y1:g}"
                findings.add(rules.CLIPPED_BOX, where, f"{corners} in {header.width} x {header.height}")
            window = clipped.window().clipped(header.width, header.height)
            if (window.width, window.height) == (header.width, header.height):
                findings.add(rules.BOX_COVERS_IMAGE, where, instance.class_name)
            entry = classes.setdefault(instance.class_name, ClassCount())
            entry.boxes += 1
            entry.sizes[next(size for size, limit in SIZES.items() if clipped.area < limit)] += 1
            names.add(instance.class_name)
        for name in names:
            classes[name].images += 1


def _stretched(ends: tuple[int, int], value: int) -> tuple[int, int]:
    return (value, value) if ends == (0, 0) else (min(ends[0], value), max(ends[1], value))
