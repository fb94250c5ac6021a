"""The segmentation itself: some images on their way, label maps written in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tqdm import tqdm

from boxmask_client import SegmentQuestion
from boxmask_convert.answers.asking import ahead, answer_of
from boxmask_convert.failures import Failure
from boxmask_convert.images.image_files import ImageFailedError, read_image
from boxmask_core.atomic import write_bytes_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from boxmask_client import Segmentation
    from boxmask_convert.failures import FailureLog
    from boxmask_convert.labelers.labeler import Segmenter
    from boxmask_convert.segment.images import ImageFile
    from boxmask_convert.segment.summary import SegmentTally
    from boxmask_convert.settings import SegmentSettings

SCORES = "scores"
"""Folder of the probabilities: ``KEY/INDEX.png``."""


def run(
    images: Sequence[ImageFile],
    settings: SegmentSettings,
    segmenter: Segmenter,
    out: Path,
    failures: FailureLog,
    tally: SegmentTally,
) -> None:
    """Segments images.

    What is wrong with one image is logged, and the rest goes on.

    Args:
        images: The images.
        settings: What was asked for.
        segmenter: Who answers.
        out: The folder of the label maps.
        failures: Where what fails goes.
        tally: Counts what was made.

    Raises:
        BoxmaskError: Nothing that comes after could be segmented: the server went away, for example.
        OSError: The output cannot be written.
    """
    asked = ahead(_asked(images, settings, segmenter, tally))
    for image, question in tqdm(asked, total=len(images), unit="img", disable=None):
        if isinstance(question, ImageFailedError):
            failures.add(Failure(image.key, str(image.path), None, question.kind, str(question)))
            continue
        answer = answer_of(question, image.key, image.path, failures)
        if answer is None:
            continue
        with tally.times.measured("write"):
            _write(out, image.key, answer)
        tally.add(answer)


def _asked(
    images: Sequence[ImageFile], settings: SegmentSettings, segmenter: Segmenter, tally: SegmentTally
) -> Iterator[tuple[ImageFile, Future[Segmentation] | ImageFailedError]]:
    """Yields images in order; each is being answered from then on, if it can be read."""
    for image in images:
        try:
            with tally.times.measured("read"):
                data = read_image(image.path)
        except ImageFailedError as error:
            yield image, error
            continue
        question = SegmentQuestion(data, settings.crf, settings.scales, settings.flip, settings.scores)
        yield image, segmenter.submit(question)


def _write(out: Path, key: str, answer: Segmentation) -> None:
    write_bytes_atomically(out / f"{key}.png", answer.label_map_png)
    for found in answer.classes:
        if found.scores_png is not None:
            write_bytes_atomically(out / SCORES / key / f"{found.index}.png", found.scores_png)
