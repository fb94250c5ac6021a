"""A worker of a Ray cluster: holds the networks once, and answers parts of a dataset."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import ray

from boxmask_convert.answers.answering import Answering
from boxmask_convert.answers.asking import HOPELESS
from boxmask_convert.answers.keys import answer_keys
from boxmask_convert.answers.reading import read_each
from boxmask_convert.failures import Failure
from boxmask_convert.labelers.local import open_local_labeler
from boxmask_convert.on_ray.parts import ImageTold, PartTold, records_of
from boxmask_core.errors import BoxmaskError, ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from numpy.typing import NDArray

    from boxmask_convert.answers.answering import Answered
    from boxmask_convert.answers.keys import AnswerKeys
    from boxmask_convert.answers.reading import Keyed
    from boxmask_convert.labelers.labeler import Labeler
    from boxmask_convert.settings import Settings


class RayWorker:
    """Answers parts, several at a time from as many threads.

    What keeps it from working at all is told with each part, and not raised here: Ray would bury the sentence
    under its own account of a worker that did not start.

    Args:
        settings: Of the conversion, as they are on this machine: absolute paths, its device and threads.
        keys: Keys of the answers, as the command has them.
        known: Reference to the first halves of the keys of all answers that the journal has: shape (N,),
            uint64, sorted.
        boxmask: Version of boxmask that the command runs.
    """

    def __init__(
        self,
        settings: Settings,
        keys: AnswerKeys,
        known: ray.ObjectRef[NDArray[np.uint64]],
        boxmask: str,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._known: NDArray[np.uint64] = ray.get(known)
        self._problem: BoxmaskError | None = None
        try:
            self._labeler = _opened(settings, keys, boxmask)
        except BoxmaskError as error:
            self._problem = error

    def __call__(self, row: Mapping[str, Any]) -> dict[str, bytes]:
        """Answers one part.

        Args:
            row: A row of `Parts`.

        Returns:
            The row of a `PartTold`.
        """
        part = int(row["part"])
        if self._problem is not None:
            return _useless(part, self._problem).to_row()
        reused: list[Keyed] = []
        asked = self._not_known(read_each(records_of(row), self._settings, self._keys), reused)
        try:
            told = [_told(entry) for entry in Answering(self._keys, _NOTHING, self._labeler).answers(asked)]
        except HOPELESS as error:
            return _useless(part, error).to_row()
        told += [_told_of(keyed, reused=True) for keyed in reused]
        return PartTold(part, tuple(told)).to_row()

    def _not_known(self, records: Iterable[Keyed], reused: list[Keyed]) -> Iterator[Keyed]:
        """Yields the records that the journal does not have; the others are added to ``reused``."""
        for keyed in records:
            if keyed.key is not None and self._is_known(keyed.key):
                reused.append(keyed)
            else:
                yield keyed

    def _is_known(self, key: str) -> bool:
        number = np.uint64(int(key[:16], 16))
        place = int(np.searchsorted(self._known, number))
        return place < len(self._known) and bool(self._known[place] == number)


class _Nothing:
    """Stands for the journal: what it holds is not asked about here, and the command adds what comes."""

    def find(self, key: str) -> None:
        """Returns None."""

    def add(self, line: bytes) -> None:
        """Passes over it."""


_NOTHING = _Nothing()


def _opened(settings: Settings, keys: AnswerKeys, boxmask: str) -> Labeler:
    here = version("boxmask")
    if here != boxmask:
        raise ClusterError(f"it has boxmask {here}, and the command runs {boxmask}; install the same on both")
    if answer_keys(settings).model_digest != keys.model_digest:
        raise ClusterError(f"its bundle {settings.bundle or ''} holds another network; give it the same")
    return open_local_labeler(settings).__enter__()


def _useless(part: int, error: BoxmaskError) -> PartTold:
    sentence = f"the Ray worker on {platform.node()} cannot work: {error}"
    return PartTold(part, problem=sentence, exit_status=error.exit_status)


def _told(entry: Answered) -> ImageTold:
    failure = entry.outcome.message if isinstance(entry.outcome, Failure) else ""
    return _told_of(entry.keyed, line=entry.line, failure=failure)


def _told_of(keyed: Keyed, *, line: bytes = b"", reused: bool = False, failure: str = "") -> ImageTold:
    whole = failure or next((each.message for each in keyed.prepared.failures if each.box is None), "")
    return ImageTold(line, reused, failed=bool(whole or keyed.prepared.failures), failure=whole)
