"""The contact sheet: for some boxes, the image, the box and the mask of every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from boxmask_client import Question
from boxmask_convert.images.image_files import ImageFailedError, read_image
from boxmask_convert.report.fallback_words import SHORT
from boxmask_convert.report.pictures import boxed, data_uri, masked, overview
from boxmask_core.errors import BoxmaskError
from boxmask_core.images import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from boxmask_client import Answer, Method
    from boxmask_convert.labelers.labeler import Labeler
    from boxmask_convert.result.samples import Sample
    from boxmask_convert.settings import Settings


@dataclass(frozen=True, slots=True)
class Picture:
    """One cell of the sheet.

    Attributes:
        title: The step, for example "GrabCut".
        uri: The picture.
        note: What is to be said of it; may be empty.
        written: Whether this is the mask that the conversion wrote.
    """

    title: str
    uri: str
    note: str = ""
    written: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the sheet.

    Attributes:
        sample: The box.
        pictures: What was made of it.
        problem: Why there are no pictures; empty where there are.
    """

    sample: Sample
    pictures: tuple[Picture, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Step:
    title: str
    method: Method
    refine: bool = True


def draw_rows(samples: Iterable[Sample], settings: Settings, labeler: Labeler) -> Iterator[Row]:
    """Asks for the masks of every step of some boxes, and draws them.

    The steps are asked about anew: an answer depends on its question alone, so the mask that was written
    comes again.

    Args:
        samples: The boxes.
        settings: The conversion's.
        labeler: Who answers.
    """
    # All are asked about before the first is drawn, so that they are answered side by side.
    drawings = [_Drawing(sample, settings, labeler) for sample in samples]
    for drawing in drawings:
        yield drawing.row()


class _Drawing:
    """One row: its questions are on their way from the start.

    Args:
        sample: The box.
        settings: The conversion's.
        labeler: Who answers.
    """

    def __init__(self, sample: Sample, settings: Settings, labeler: Labeler) -> None:
        self._sample = sample
        self._settings = settings
        self._steps = _steps(settings)
        self._data = b""
        self._futures: Sequence[Future[Answer]] = ()
        self._problem = ""
        try:
            self._data = read_image(sample.record.path)
        except ImageFailedError as error:
            self._problem = str(error)
            return
        self._futures = [labeler.submit(self._question(step)) for step in self._steps]

    def row(self) -> Row:
        """Waits for the answers and draws them.

        A row that fails says so: a conversion that succeeded is not given up for its report.
        """
        if self._problem:
            return Row(self._sample, problem=self._problem)
        try:
            return Row(self._sample, tuple(self._pictures()))
        except BoxmaskError as error:
            return Row(self._sample, problem=str(error))

    def _question(self, step: _Step) -> Question:
        return Question(self._data, (self._sample.instance,), step.method, step.refine, label_map=False)

    def _pictures(self) -> Iterator[Picture]:
        record, instance = self._sample.record, self._sample.instance
        image = decode(self._data, what=str(record.path))
        others = [other.box for other in record.instances if other is not instance]
        yield Picture("Image", data_uri(overview(image, instance.box, others)))
        yield Picture("Box", data_uri(boxed(image, instance.box)))
        for step, future in zip(self._steps, self._futures, strict=True):
            proposal = future.result().masks[0].proposal
            uri = data_uri(masked(image, instance.box, proposal))
            yield Picture(step.title, uri, SHORT[proposal.fallback], _is_written(step, self._settings))


def _steps(settings: Settings) -> tuple[_Step, ...]:
    """Returns the steps that the labeler can answer: the networks only where they are loaded."""
    steps = {
        "box": (_Step("Filled box", "box"),),
        "grabcut": (_Step("GrabCut", "grabcut"),),
        "cfs": (_Step("GrabCut", "grabcut"), _Step("CFS", "cfs", refine=False), _Step("CFS, refined", "cfs")),
    }
    return steps[settings.method]


def _is_written(step: _Step, settings: Settings) -> bool:
    return step.method == settings.method and (step.method != "cfs" or step.refine == settings.refine)
