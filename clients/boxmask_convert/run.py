"""The conversion itself: answers taken in the dataset's order, and written in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from boxmask_client import Answer
from boxmask_convert.answers.answering import Answering
from boxmask_convert.answers.reading import read_ahead
from boxmask_convert.failures import Failure
from boxmask_convert.progress import open_progress
from boxmask_convert.result.masks import masked_image
from boxmask_core.errors import TooManyFailuresError
from boxmask_core.formats.interface import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boxmask_convert.answers.answering import Answered
    from boxmask_convert.answers.journal import Journal
    from boxmask_convert.answers.keys import AnswerKeys
    from boxmask_convert.failures import FailureLog
    from boxmask_convert.images.questions import Prepared
    from boxmask_convert.labelers.labeler import Labeler
    from boxmask_convert.plan import Plan
    from boxmask_convert.result.files import ResultFiles
    from boxmask_convert.result.tally import Tally
    from boxmask_convert.settings import Shard
    from boxmask_core.instances import ImageRecord


@dataclass(frozen=True, slots=True)
class Work:
    """What answers come from.

    Attributes:
        plan: What to convert.
        keys: Gives the answers' keys.
        journal: Earlier answers, and the place of new ones.
        labeler: Who makes the masks that no earlier run made.
    """

    plan: Plan
    keys: AnswerKeys
    journal: Journal
    labeler: Labeler


def run(work: Work, files: ResultFiles, tally: Tally) -> None:
    """Converts every image of the plan.

    What is wrong with one image or one box is logged, and the rest goes on.

    Args:
        work: Where answers come from.
        files: Where the result goes.
        tally: Counts what was made.

    Raises:
        TooManyFailuresError: More images failed than the settings allow.
        BoxmaskError: Nothing that comes after could be converted: the server went away, for example.
        OSError: The output cannot be written.
    """
    for entry in followed(work, files.failures, tally, len(work.plan)):
        files.records.add(entry.keyed)
        if entry.line:
            files.journal.write(entry.line)
        record, answer = entry.prepared.record, entry.outcome
        if isinstance(answer, Answer) and not isinstance(record, RecordError):
            with tally.times.measured("write"):
                hidden = files.writer.write(masked_image(work.plan, record, answer))
                files.note_hidden(record.key, hidden)


def followed(
    work: Work, failures: FailureLog, tally: Tally, total: int, shard: Shard | None = None
) -> Iterator[Answered]:
    """Yields what became of each record in order; failures are logged, and all is counted and shown.

    Args:
        work: Where answers come from.
        failures: Where what fails goes.
        tally: Counts what was made.
        total: Records to come.
        shard: The part of the plan to ask about, or None for all.

    Raises:
        TooManyFailuresError: More images failed than the settings allow.
        BoxmaskError: Nothing that comes after could be answered.
        OSError: The journal cannot be written.
    """
    settings = work.plan.settings
    asking = Answering(work.keys, work.journal, work.labeler)
    with open_progress(settings.progress, total) as progress:
        for entry in asking.answers(read_ahead(work.plan, work.keys, shard)):
            failed = _log(entry, failures, settings.max_errors)
            yield entry
            _count(entry, tally)
            progress.advance(reused=entry.reused, failed=failed)


def _log(entry: Answered, failures: FailureLog, most: int | None) -> bool:
    """Logs what failed of one record, and says whether anything did."""
    found = list(entry.prepared.failures)
    if isinstance(entry.outcome, Failure):
        found.append(entry.outcome)
    for failure in found:
        failures.add(failure)
    if most is not None and found and failures.images > most:
        raise TooManyFailuresError(failures.images, most, found[-1].message)
    return bool(found)


def _count(entry: Answered, tally: Tally) -> None:
    prepared, answer = entry.prepared, entry.outcome
    record = prepared.record
    tally.times.add_milliseconds("read", entry.keyed.read_ms)
    if isinstance(record, RecordError):
        return
    tally.annotated += _annotated(record, prepared)
    if isinstance(answer, Answer):
        tally.add(record, answer)
        tally.add_image(prepared)
        tally.reused += entry.reused


def _annotated(record: ImageRecord, prepared: Prepared) -> int:
    """Returns how many boxes the dataset has in an image."""
    if prepared.question is None:
        return len(record.instances) + len(record.issues)
    return len(record.instances) + len(
        prepared.failures
    )  # of an image that is asked about, single boxes failed
