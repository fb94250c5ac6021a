"""Images read and keyed some ahead of their turn, several at a time: disks and networks answer late."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Final

from boxmask_convert.images.questions import Prepared, prepare

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from boxmask_convert.answers.keys import AnswerKeys
    from boxmask_convert.plan import Plan
    from boxmask_convert.settings import Settings, Shard
    from boxmask_core.formats.interface import RecordError
    from boxmask_core.instances import ImageRecord

READERS_AT_ONCE: Final = 4
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
    waiting: deque[Future[Keyed]] = deque()
    with ThreadPoolExecutor(READERS_AT_ONCE, thread_name_prefix="reading") as pool:
        try:
            for record in records:
                waiting.append(pool.submit(_read, record, settings, keys))
                if len(waiting) >= AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _read(record: ImageRecord | RecordError, settings: Settings, keys: AnswerKeys) -> Keyed:
    start = perf_counter()
    prepared = prepare(record, settings)
    key = keys.key(prepared.question) if prepared.question is not None else None
    return Keyed(prepared, key, (perf_counter() - start) * 1e3)
