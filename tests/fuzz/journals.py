"""Fuzzing the converter's journal: whatever befell it, an image has an answer that fits or is asked again."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from boxmask_client import Answer, Timings
from boxmask_convert.answers.journal import ANSWERS_FILE, Journal, journal_line
from boxmask_convert.answers.journal_fields import answer_fields, failure_fields, restored
from boxmask_convert.failures import Failure, FailureKind
from boxmask_core.boxes import Box
from boxmask_core.errors import DatasetError
from boxmask_core.grabcut import filled_box
from boxmask_core.instances import ImageRecord, Instance, InstanceMask
from boxmask_core.quality import Signals
from tests.fuzz.damage import apply_damage, damages
from tests.fuzz.target import Target
from tests.fuzz.words import with_word, words

if TYPE_CHECKING:
    from tests.fuzz.damage import Damage
    from tests.fuzz.words import Word

WIDTH, HEIGHT = 24, 18
ANSWERED, ALSO_ANSWERED, FAILED = "0" * 16 + "1" * 16, "0" * 16 + "2" * 16, "f" * 32
"""Keys; the first two share their first half."""
NEW = "1" * 32
RECORD = ImageRecord(
    "sub/a",
    Path("sub/a.jpg"),
    (Instance(Box(2, 3, 9, 12), "cat", id="0"), Instance(Box(-4, 5.5, 30, 17), "dog", id="1")),
)
_NO_TIME = Timings(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
SIGNALS = Signals(0.75, None, 1.0, 0.5, 1, 0.25, 0.0)


def _answer(signals: Signals | None) -> Answer:
    masks = [
        InstanceMask(each, filled_box((WIDTH, HEIGHT), each.box), 0.75, signals) for each in RECORD.instances
    ]
    return Answer(WIDTH, HEIGHT, tuple(masks), None, (), _NO_TIME, "sha256:0")


_FAILURE = Failure(RECORD.key, str(RECORD.path), None, FailureKind.SERVER_ERROR, "it was busy")
_WHOLE = (
    journal_line(ANSWERED, answer_fields(RECORD.key, _answer(SIGNALS)))
    + journal_line(ALSO_ANSWERED, answer_fields(RECORD.key, _answer(None)))
    + journal_line(FAILED, failure_fields(_FAILURE))
)


def _found(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / ANSWERS_FILE
        file.write_bytes(content)
        line = journal_line(NEW, answer_fields(RECORD.key, _answer(None)))
        with Journal(file) as journal:
            assert len(journal) == len(journal.known())
            right = sum([_is_right(journal, key) for key in (ANSWERED, ALSO_ANSWERED, FAILED)])
            journal.add(line)
        with Journal(file) as journal:
            assert _is_right(journal, NEW), "what is added to a worn journal must be found"
    if not right:
        raise DatasetError(file, "every image is asked about again")


def _is_right(journal: Journal, key: str) -> bool:
    """Checks what is found under a key; says whether it is anything."""
    fields = journal.find(key)
    outcome = None if fields is None else restored(fields, RECORD)
    if fields is None or outcome is None:
        return False
    assert journal_line(key, {**fields, "image": RECORD.key}).endswith(b"\n")  # a run hands it on to the next
    if isinstance(outcome, Failure):
        assert outcome.key == RECORD.key
        return True
    assert outcome.width > 0
    assert outcome.height > 0
    assert len(outcome.masks) == len(RECORD.instances)
    for mask, instance in zip(outcome.masks, RECORD.instances, strict=True):
        assert mask.instance == instance
        # The window is the box's in the image: a mask of any other place answers another question.
        expected = filled_box((outcome.width, outcome.height), instance.box)
        assert mask.proposal.window == expected.window
        assert mask.proposal.mask.shape == expected.mask.shape
        assert 0 <= mask.quality <= 1
        _check_signals(mask.signals)
    return True


def _check_signals(signals: Signals | None) -> None:
    if signals is None:
        return
    shares = (signals.certainty, signals.agreement, signals.separation, signals.rivalry)
    assert all(share is None or 0 <= share <= 1 for share in shares)
    assert 0 <= signals.tightness <= 1
    assert 0 <= signals.fill <= 1
    assert isinstance(signals.parts, int)


def _worn(content: bytes, wear: Word | Damage) -> bytes:
    return apply_damage(content, wear) if len(wear) == 3 else with_word(content, wear)


TARGETS = (
    Target(
        "journals, worn",
        st.lists(st.one_of(words, damages), max_size=4).map(lambda wears: reduce(_worn, wears, _WHOLE)),
        _found,
        share=2,
    ),
)
