"""What every reader and every writer of a dataset format offers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from boxmask_core.compositing import Overlaps

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from boxmask_core.instances import ImageRecord, MaskedImage


@dataclass(frozen=True, slots=True)
class RecordError:
    """One image of a dataset whose annotation cannot be read; the others can.

    Attributes:
        key: The image's key, as in `ImageRecord`, as far as it is known.
        path: The file that is at fault.
        problem: The rule it breaks, with the value.
    """

    key: str
    path: Path
    problem: str


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """What a user decides about written masks; each format heeds what it can express.

    Attributes:
        overlaps: Who owns a pixel that several masks claim, where a format gives each pixel to one; formats
            that keep whole masks pass over it.
        void_below: Masks of lower quality are not written into label maps: their box becomes void, but where
            a trusted mask claims it. None trusts all. Formats without void refuse it.
    """

    overlaps: Overlaps = field(default_factory=Overlaps)
    void_below: float | None = None


PLAIN = WriterOptions()
"""Smaller boxes lie on top, and every mask is trusted."""


class DetectionDataset(Protocol):
    """Images with boxes, read one at a time in an order that is the same on every run."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Every class of the dataset, in the format's order."""

    @property
    def image_root(self) -> Path:
        """The folder that keys and file names are relative to."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader decided or left out, in sentences for the user."""

    def __len__(self) -> int:
        """Number of images."""

    def __iter__(self) -> Iterator[ImageRecord | RecordError]:
        """Yields every image, or what is wrong with its annotation."""


class MaskWriter(Protocol):
    """Writes masks, one image at a time; every file that it writes is whole or absent when the process dies.

    The files of single images are not synced to the disk one by one, for that takes longer than writing
    them: a caller that wants them to outlive a power failure syncs the folder before it calls the dataset
    finished. Memory does not grow with the number of images.

    As a context manager it closes on success, and on an exception drops what is unfinished: the file that
    makes the folder a dataset is then not written.
    """

    @property
    def losses(self) -> Counter[str]:
        """What the format could not hold or was told to leave out: a sentence, and how often."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What is unusual about the files so far, in sentences for the user."""

    def write(self, image: MaskedImage) -> tuple[str, ...]:
        """Writes one image's masks.

        Returns:
            The ids of instances that cannot be seen in what was written, because other masks own every pixel
            that they claim; always empty where a format keeps whole masks. Instances whose mask is empty
            anyway or is not trusted are not among them.

        Raises:
            DatasetError: A class is not among the dataset's class names.
            InvalidMaskError: The image has more instances than a label map holds, 65534.
            OSError: The file system refuses.
        """

    def close(self) -> None:
        """Writes what completes the dataset."""

    def __enter__(self) -> MaskWriter:
        """Returns the writer."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes, or drops what is unfinished."""
