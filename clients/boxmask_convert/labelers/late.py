"""A labeler that is opened when the first question comes, for runs that expect none."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from types import TracebackType

    from boxmask_client import Answer, Question
    from boxmask_convert.labelers.labeler import Labeler


class LateLabeler:
    """Opens another labeler when it is asked; see `Answerer`.

    Args:
        opened: Opens it; raises a `BoxmaskError` where it cannot be had.
        description: See `Answerer.description`.
    """

    def __init__(self, opened: Callable[[], Labeler], description: str) -> None:
        self.description = description
        self._opened = opened
        self._labeler: Labeler | None = None
        self._stack = ExitStack()

    def submit(self, question: Question) -> Future[Answer]:
        """See `Answerer.submit`."""
        if self._labeler is None:
            self._labeler = self._stack.enter_context(self._opened())
        return self._labeler.submit(question)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
