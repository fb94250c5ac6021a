"""Who answers the commands' questions: the seam between a run and the networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, TypeAlias, TypeVar

from boxmask_client import Answer, Question, Segmentation, SegmentQuestion

if TYPE_CHECKING:
    from concurrent.futures import Future
    from types import TracebackType

Asked = TypeVar("Asked", contravariant=True)
Answered = TypeVar("Answered")


class Answerer(Protocol[Asked, Answered]):
    """Answers questions, many at a time; a context manager."""

    @property
    def description(self) -> str:
        """Who answers, in a few words, for the plan and the report."""

    def submit(self, question: Asked) -> Future[Answered]:
        """Takes a question; its future gives the answer, or raises the `BoxmaskError` that it met."""

    def __enter__(self) -> Self:
        """Returns the answerer, ready."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives back what it holds; questions without an answer are dropped."""


Labeler: TypeAlias = Answerer[Question, Answer]
Segmenter: TypeAlias = Answerer[SegmentQuestion, Segmentation]
