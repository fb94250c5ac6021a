"""Questions on their way: some ahead, answers taken in order, what fails logged."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

from boxmask_client import NotFoundError, UnavailableError, UnsupportedError
from boxmask_convert.failures import Failure, kind_of
from boxmask_core.errors import BoxmaskError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from boxmask_convert.failures import FailureLog

Item = TypeVar("Item")
Answered = TypeVar("Answered")

WINDOW = 16
"""Images on their way at once: enough boxes for a full batch and one that is being prepared."""
HOPELESS = (UnavailableError, NotFoundError, UnsupportedError, MissingExtraError)
"""Errors that every image to come would meet as well."""


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yields items in order, each only when those behind it in its window were taken, and so asked about."""
    pending: deque[Item] = deque()
    for item in items:
        pending.append(item)
        if len(pending) >= WINDOW:
            yield pending.popleft()
    yield from pending


def answer_of(future: Future[Answered], key: str, path: Path, failures: FailureLog) -> Answered | None:
    """Returns the answer about one image, or None where it failed, which is then logged.

    Args:
        future: Gives the answer.
        key: The image's key.
        path: Its file.
        failures: Where what fails goes.

    Raises:
        BoxmaskError: One of `HOPELESS`.
    """
    try:
        return future.result()
    except HOPELESS:
        raise
    except BoxmaskError as error:
        failures.add(Failure(key, str(path), None, kind_of(error), str(error)))
        return None
