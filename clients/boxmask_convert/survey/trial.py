"""A few images converted for trial: what the whole dataset is going to take, in seconds and bytes."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from boxmask_convert.answers.asking import HOPELESS, WINDOW
from boxmask_convert.answers.journal import journal_line
from boxmask_convert.answers.journal_fields import answer_fields
from boxmask_convert.images.questions import prepare
from boxmask_convert.opening import open_labeler
from boxmask_convert.result.masks import masked_image, open_writer
from boxmask_convert.survey.estimate import Estimate, estimate_whole
from boxmask_core.errors import BoxmaskError, DatasetError
from boxmask_core.formats.interface import RecordError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxmask_client import Answer
    from boxmask_convert.labelers.labeler import Labeler
    from boxmask_convert.plan import Plan
    from boxmask_convert.settings import Settings
    from boxmask_convert.survey.dataset import Survey
    from boxmask_core.instances import ImageRecord

TRIAL_IMAGES: Final = 8
_SOME_KEY: Final = "0" * 32
_ROUNDS: Final = 3
_REPEATS: Final = WINDOW // TRIAL_IMAGES
"""How often each image is asked about in a round: so many are on their way in a conversion."""
_ENOUGH_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What a few images took.

    Attributes:
        labeler: Who made their masks.
        images: How many there were.
        start_seconds: Until the first answer, the networks being loaded included.
        seconds: What the images took, as many on their way as in a conversion: the median of some rounds.
        time: Seconds of the whole conversion.
        disk: Bytes of its masks and its journal; the report comes on top.
    """

    labeler: str
    images: int
    start_seconds: float
    seconds: float
    time: Estimate
    disk: Estimate

    def to_json(self) -> dict[str, Any]:
        """Returns the fields of the machine-readable form."""
        return {
            "labeler": self.labeler,
            "images": self.images,
            "start_seconds": round(self.start_seconds, 3),
            "seconds": round(self.seconds, 3),
            "estimated_seconds": self.time.to_json(),
            "estimated_bytes": self.disk.to_json(),
        }


class TrialImages:
    """Chooses records evenly spread over a dataset as they pass.

    Args:
        count: How many records will pass at most.
    """

    def __init__(self, count: int) -> None:
        self._step = max(count / TRIAL_IMAGES, 1.0)
        self._seen = 0
        self.chosen: list[ImageRecord] = []

    def add(self, record: ImageRecord) -> None:
        """Looks at one record."""
        if len(self.chosen) < TRIAL_IMAGES and self._seen >= (len(self.chosen) + 0.5) * self._step - 1:
            self.chosen.append(record)
        self._seen += 1


def check_target(plan: Plan) -> None:
    """Checks that the format can hold the dataset's classes and what was decided about overlaps and void.

    Raises:
        DatasetError: It cannot.
        InvalidRequestError: The priority names a class that there is not.
        MissingExtraError: The format needs an optional part of the distribution.
    """
    with TemporaryDirectory(prefix="boxmask-plan-") as folder:
        _bytes_of(plan, Path(folder) / "empty", ())


def run_trial(
    plan: Plan, records: Sequence[ImageRecord], survey: Survey
) -> tuple[Trial | None, list[tuple[str, str]]]:
    """Converts some images into a temporary folder that is removed afterwards.

    Args:
        plan: What is planned.
        records: The images; at least one.
        survey: Of the whole dataset.

    Returns:
        What it took, or None where nothing succeeded; and what failed, by image.

    Raises:
        BoxmaskError: Every image would meet the same: the server cannot be reached, for example.
    """
    start = perf_counter()
    with (
        TemporaryDirectory(prefix="boxmask-plan-") as folder,
        open_labeler(plan.settings) as labeler,
    ):
        _asked(records[:1], plan.settings, labeler)
        start_seconds = perf_counter() - start
        rounds: list[float] = []
        while len(rounds) < _ROUNDS and sum(rounds) < _ENOUGH_SECONDS:
            begun = perf_counter()
            answers, problems = _asked([*records] * _REPEATS, plan.settings, labeler)
            asked = perf_counter()
            answers = answers[: len(answers) // _REPEATS]
            written = [
                _bytes_of(plan, Path(folder) / f"{len(rounds)}-{number}", [entry])
                for number, entry in enumerate(answers)
            ]
            rounds.append((asked - begun) / _REPEATS + perf_counter() - asked)
        empty = _bytes_of(plan, Path(folder) / "empty", ())
        description = labeler.description
    failed = list(dict.fromkeys(problems))
    if not answers:
        return None, failed
    masks = [len(answer.masks) for _, answer in answers]
    work = [_work_ms(answer) for _, answer in answers]
    whole = survey.usable_images, survey.usable_boxes
    slow, usual, quick = (
        estimate_whole(pick(rounds), work, masks, *whole) for pick in (max, statistics.median, min)
    )
    sizes = [
        size - empty + _journal_bytes(record.key, answer)
        for size, (record, answer) in zip(written, answers, strict=True)
    ]
    trial = Trial(
        labeler=description,
        images=len(answers),
        start_seconds=start_seconds,
        seconds=statistics.median(rounds),
        time=Estimate(usual.expected, quick.low, slow.high).shifted(start_seconds),
        disk=estimate_whole(sum(sizes), sizes, masks, *whole).shifted(empty),
    )
    return trial, failed


def _asked(
    records: Sequence[ImageRecord], settings: Settings, labeler: Labeler
) -> tuple[list[tuple[ImageRecord, Answer]], list[tuple[str, str]]]:
    """Asks about all records at once, as a conversion does; returns answers and problems."""
    answers, problems = [], []
    prepared = [prepare(record, settings) for record in records]
    asked = [(each, labeler.submit(each.question)) for each in prepared if each.question is not None]
    for each, future in asked:
        if isinstance(each.record, RecordError):
            raise AssertionError("only records that can be asked about are tried")
        try:
            answers.append((each.record, future.result()))
        except HOPELESS:
            raise
        except BoxmaskError as error:
            problems.append((each.record.key, str(error)))
    return answers, problems


def _bytes_of(plan: Plan, folder: Path, answers: Sequence[tuple[ImageRecord, Answer]]) -> int:
    """Writes some answers into a folder; returns the bytes of its files."""
    folder.mkdir()
    try:
        with open_writer(folder, plan) as writer:
            for record, answer in answers:
                writer.write(masked_image(plan, record, answer))
    except DatasetError as error:
        raise DatasetError(plan.settings.out, error.problem) from error
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _journal_bytes(key: str, answer: Answer) -> int:
    """Returns what the journal of a result keeps of an answer."""
    return len(journal_line(_SOME_KEY, answer_fields(key, answer)))


def _work_ms(answer: Answer) -> float:
    times = answer.timings
    return times.decode_ms + times.crop_ms + times.inference_ms + times.refine_ms + times.encode_ms
