"""A dataset being checked: what its files hold, what is wrong with them, and the images beside them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from boxmask_core.checks import rules
from boxmask_core.checks.findings import Findings
from boxmask_core.errors import InvalidImageError
from boxmask_core.formats.image_places import first_file
from boxmask_core.formats.interface import RecordError
from boxmask_core.formats.scratch import FirstHolders
from boxmask_core.images import read_header

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from boxmask_core.formats.interface import DetectionDataset

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One image of the detection dataset that masks were made from.

    Attributes:
        path: The image file.
        boxes: How many boxes it has, those that cannot be used left out.
    """

    path: Path
    boxes: int


class Source:
    """The detection dataset that masks were made from, by key.

    Args:
        dataset: The dataset; it is read once.
    """

    def __init__(self, dataset: DetectionDataset) -> None:
        self._images = {
            record.key: SourceImage(record.path, len(record.instances))
            for record in dataset
            if not isinstance(record, RecordError)
        }

    def get(self, key: str) -> SourceImage | None:
        """Returns an image, or None where there is none of that key."""
        return self._images.get(key)

    def items(self) -> Iterable[tuple[str, SourceImage]]:
        """Returns every image by its key."""
        return self._images.items()


@dataclass(slots=True)
class Examination:
    """What a check has found so far.

    Attributes:
        source: What the masks were made from, or None where that is not known.
        findings: What is wrong.
        notes: What could not be checked or was left out, in sentences.
        images: Images in the files.
        masks: Masks in the files.
        boxes: Boxes without a mask in the files.
        classes: Masks by class name; empty where the format does not tell instances apart.
        counts_masks: Whether the format tells every instance, so that their number can be compared.
        masks_of: Masks by key of the image, kept where there is a source.
    """

    source: Source | None = None
    findings: Findings = field(default_factory=Findings)
    notes: list[str] = field(default_factory=list)
    images: int = 0
    masks: int = 0
    boxes: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    counts_masks: bool = True
    masks_of: dict[str, int] = field(default_factory=dict)
    _found: int = 0
    _missing: Findings = field(default_factory=Findings)
    _keys: FirstHolders = field(default_factory=FirstHolders)

    def add_image(
        self,
        key: str,
        size: Size | None,
        places: Iterable[Path],
        classes: Counter[str] | None = None,
        *,
        boxes: int = 0,
        where: str = "",
    ) -> None:
        """Counts one image and compares it with its file, where that is found.

        Args:
            key: Its key.
            size: ``(width, height)`` that the dataset gives it, pixels, or None where it gives none.
            places: Where its file may lie.
            classes: Its masks by class.
            boxes: Its boxes without a mask.
            where: What names it, for messages; its key if empty.
        """
        masks = classes or Counter()
        self.images += 1
        self.masks += masks.total()
        self.boxes += boxes
        self.classes.update(masks)
        if (first := self._keys.claim(key, where or key)) is not None:
            self.findings.add(rules.KEY_COLLISION, where or key, f"the key {key!r} is that of {first}")
        if self.counts_masks and masks.total() + boxes == 0:
            self.findings.add(rules.EMPTY_IMAGE, where or key)
        path = self._path(key, places, where or key)
        if self.source is not None:
            self.masks_of[key] = masks.total()
        if path is not None and size is not None:
            self._compare(path, size)

    def finish(self) -> None:
        """Says which images are missing, if any is there: masks without their images are a dataset too."""
        if self._found or self.source is not None:
            self.findings.merge(self._missing)
        elif self.images:
            self.notes.append(
                "no image lies beside the dataset: whether images are there and how large they are is not "
                "checked (--against SOURCE names the dataset that has them)"
            )

    def _path(self, key: str, places: Iterable[Path], where: str) -> Path | None:
        if self.source is not None:
            image = self.source.get(key)
            if image is None:
                self.findings.add(rules.NOT_IN_SOURCE, where)
                return None
            places = [image.path]
        tried = list(places)
        path = first_file(tried)
        if path is None:
            self._missing.add(rules.MISSING_IMAGE, where, f"expected {tried[0]}" if tried else "")
        self._found += path is not None
        return path

    def _compare(self, path: Path, size: Size) -> None:
        try:
            header = read_header(path.read_bytes(), what=str(path))
        except InvalidImageError as error:
            self.findings.add(rules.CORRUPT_IMAGE, str(error))
            return
        except OSError as error:
            self.findings.add(rules.UNREADABLE_IMAGE, str(path), str(error.strerror))
            return
        upright = header.width, header.height
        if size == upright:
            return
        told = "{} x {}, but the image has {} x {}".format(*size, *upright)
        if header.transposed and size == upright[::-1]:
            self.findings.add(rules.TURNED_BOXES, str(path), told)
        else:
            self.findings.add(rules.SIZE_MISMATCH, str(path), told)
