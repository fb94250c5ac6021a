"""Parts of one question that are worked on side by side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable
    from typing import Any

Result = TypeVar("Result")


async def all_results(work: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Runs all at once and returns their results in order; the first failure cancels the rest.

    Raises:
        Exception: What the first of them to fail raised.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in work]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
