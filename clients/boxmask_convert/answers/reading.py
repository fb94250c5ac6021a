"""Images read and keyed some ahead of their turn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Final

from boxmask_convert.images.in_turn import in_turn
from boxmask_convert.images.questions import Prepared, prepare

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from boxmask_convert.answers.keys import AnswerKeys
    from boxmask_convert.plan import Plan
    from boxmask_convert.settings import Settings, Shard
    from boxmask_core.formats.interface import RecordError
    from boxmask_core.instances import ImageRecord

AHEAD: Final = 8
"""Images that are read before their turn; they wait in memory."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """One record that was read.

    Attributes:
        prepared: What can be asked about it.
        key: The key of its answer, or None where nothing can be asked.
        read_ms: What reading it took, milliseconds.
    """

    prepared: Prepared
    key: str | None
    read_ms: float


def read_ahead(plan: Plan, keys: AnswerKeys, shard: Shard | None = None) -> Iterator[Keyed]:
    """Yields the records of a plan in order, read.

    Args:
        plan: What to convert.
        keys: Gives the answers' keys.
        shard: The part of the plan to read, or None for all.
    """
    records: Iterable[ImageRecord | RecordError] = islice(plan.dataset, len(plan))
    if shard is not None:
        records = islice(records, shard.index, None, shard.count)
    return read_each(records, plan.settings, keys)


def read_each(
    records: Iterable[ImageRecord | RecordError], settings: Settings, keys: AnswerKeys
) -> Iterator[Keyed]:
    """Yields records in order, read.

    Args:
        records: Of the dataset.
        settings: Of the conversion.
        keys: Gives the answers' keys.
    """
    return in_turn(records, partial(_read, settings=settings, keys=keys), ahead=AHEAD)


def _read(record: ImageRecord | RecordError, settings: Settings, keys: AnswerKeys) -> Keyed:
    start = perf_counter()
    prepared = prepare(record, settings)
    key = keys.key(prepared.question) if prepared.question is not None else None
    return Keyed(prepared, key, (perf_counter() - start) * 1e3)
