"""Answers in the dataset's order: from the journal, or from the networks and then kept in it."""

from __future__ import annotations

from collections import deque
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from boxmask_convert.answers.asking import HOPELESS, WINDOW
from boxmask_convert.answers.journal import journal_line
from boxmask_convert.answers.journal_fields import answer_fields, failure_fields, restored
from boxmask_convert.failures import Failure, kind_of
from boxmask_core.errors import BoxmaskError
from boxmask_core.formats.interface import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from concurrent.futures import Future

    from boxmask_client import Answer
    from boxmask_convert.answers.keys import AnswerKeys
    from boxmask_convert.answers.reading import Keyed
    from boxmask_convert.images.questions import Prepared
    from boxmask_convert.labelers.labeler import Labeler


@dataclass(slots=True)
class Answered:
    """One record, and what became of it.

    Attributes:
        keyed: The record that was read.
        outcome: The answer or why there is none; None where nothing could be asked.
        line: The journal's line of it; empty where there is none.
        reused: Whether an earlier run was answered.
    """

    keyed: Keyed
    outcome: Answer | Failure | None = None
    line: bytes = b""
    reused: bool = False

    @property
    def prepared(self) -> Prepared:
        """The record and what is known of it."""
        return self.keyed.prepared


class KeptAnswers(Protocol):
    """What `Answering` needs of a journal; see `Journal`."""

    def find(self, key: str) -> Mapping[str, Any] | None:
        """Returns the fields of an earlier answer, or None."""

    def add(self, line: bytes) -> None:
        """Keeps a line."""


class Answering:
    """Asks about records, some at a time, and journals each answer when it comes.

    Args:
        keys: Gives the answers' keys.
        journal: Earlier answers, and the place of new ones.
        labeler: Who is asked.
    """

    def __init__(self, keys: AnswerKeys, journal: KeptAnswers, labeler: Labeler) -> None:
        self._keys = keys
        self._journal = journal
        self._labeler = labeler
        self._open: dict[Future[Answer], Answered] = {}

    def answers(self, records: Iterable[Keyed]) -> Iterator[Answered]:
        """Yields what became of each record, in order.

        Raises:
            BoxmaskError: Every record that comes after would meet the same; what was answered is journalled.
            OSError: The journal cannot be written.
        """
        pending: deque[tuple[Answered, Future[Answer] | None]] = deque()
        try:
            for keyed in records:
                pending.append(self._ask(keyed))
                if len(pending) >= WINDOW:
                    yield self._settled(*pending.popleft())
            while pending:
                yield self._settled(*pending.popleft())
        finally:
            self._keep_what_came()

    def _ask(self, keyed: Keyed) -> tuple[Answered, Future[Answer] | None]:
        entry = Answered(keyed)
        record, question = keyed.prepared.record, keyed.prepared.question
        if keyed.key is None or question is None or isinstance(record, RecordError):
            return entry, None
        fields = self._journal.find(keyed.key)
        outcome = restored(fields, record) if fields is not None else None
        if fields is not None and outcome is not None:
            # The key is the content's: two images that are alike share a line, and each has its own name.
            line = journal_line(keyed.key, {**fields, "image": record.key})
            return Answered(keyed, outcome, line, reused=True), None
        future = self._labeler.submit(question)
        self._open[future] = entry
        return entry, future

    def _settled(self, entry: Answered, future: Future[Answer] | None) -> Answered:
        while future in self._open:
            done, _ = wait(self._open, return_when=FIRST_COMPLETED)
            for each in done:
                self._keep(each)
        return entry

    def _keep(self, future: Future[Answer]) -> None:
        entry = self._open.pop(future)
        prepared, key = entry.prepared, entry.keyed.key
        if key is None or prepared.question is None or isinstance(prepared.record, RecordError):
            raise AssertionError("only what can be asked about is asked about")
        record = prepared.record
        try:
            answer = future.result()
        except HOPELESS:
            raise
        except BoxmaskError as error:
            failure = Failure(record.key, str(record.path), None, kind_of(error), str(error))
            entry.outcome, entry.line = failure, journal_line(key, failure_fields(failure))
        else:
            if answer.model_digest != self._keys.model_digest:  # the server took up another network meanwhile
                key = self._keys.key(prepared.question, answer.model_digest)
            entry.outcome, entry.line = answer, journal_line(key, answer_fields(record.key, answer))
        self._journal.add(entry.line)

    def _keep_what_came(self) -> None:
        """Journals the answers that are there when the run ends early: nobody waits for the others."""
        for future in [each for each in self._open if each.done() and not each.cancelled()]:
            if future.exception() is None:
                self._keep(future)
