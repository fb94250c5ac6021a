"""Gives a target examples that nobody has seen, as Hypothesis finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fuzz.target import Example, Target


def explore(
    target: Target[Example],
    *,
    examples: int,
    seed: int,
    before: Callable[[Example], None],
    after: Callable[[str], None],
) -> None:
    """Tries so many examples, and where one fails, looks for the smallest that does.

    Args:
        target: What is tried.
        examples: How many, about.
        seed: Where the search starts.
        before: Is told every example before it is tried.
        after: Is told what came of it.

    Raises:
        Exception: The fault; the example that was told last is the smallest that was found to show it.
    """

    @hypothesis.seed(seed)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(target.examples)
    def attempt(example: Example) -> None:
        before(example)
        after(target.outcome(example))

    attempt()
