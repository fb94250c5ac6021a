"""Who answers the converter's questions: the seam between the run and the networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from concurrent.futures import Future
    from types import TracebackType

    from boxmask_client import Answer, Question


class Labeler(Protocol):
    """Answers questions, many at a time; a context manager."""

    @property
    def description(self) -> str:
        """Who answers, in a few words, for the plan and the report."""

    def submit(self, question: Question) -> Future[Answer]:
        """Takes a question; its future gives the answer, or raises the `BoxmaskError` that it met."""

    def __enter__(self) -> Self:
        """Returns the labeler, ready."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives back what it holds; questions without an answer are dropped."""
